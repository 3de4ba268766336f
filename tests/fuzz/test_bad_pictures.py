"""Damaged and malicious pictures: read or refused with ImageError, at once, without memory for what is not there."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from edge.errors import ImageError
from edge.vision.geometry import face_input, whole
from edge.vision.image import ImageLimits, decode
from fuzz import SEED, cases
from fuzz.decode_batch import LIMITS, case
from fuzz.pictures import SOUND, damaged_animation, png_chunk, tiff
from support.components import ROOT

_BATCH_LIMIT_S = 120


def in_child(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code with `fuzz` and `edge` at hand."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=_BATCH_LIMIT_S * max(1, cases(1)),
        env=environment,
        check=False,
    )


@pytest.mark.parametrize("format_", sorted(SOUND))
def test_a_damaged_picture_is_read_or_refused_and_nothing_else(format_: str, tmp_path: Path) -> None:
    progress, count = tmp_path / "progress", cases(2100)
    program = "import sys, runpy; runpy.run_module('fuzz.decode_batch', run_name='__main__', alter_sys=True)"
    ended = in_child(program, format_, str(SEED), "0", str(count), str(progress))

    sound = list(SOUND[format_]().values())
    kept = tmp_path / f"case.{format_.lower()}"
    if ended.returncode:
        number = int(progress.read_text() or -1)
        kept.write_bytes(case(format_, SEED, number, sound))
        pytest.fail(
            f"case {number} of seed {SEED} ended the process ({ended.returncode}); it is {kept}\n{ended.stderr}"
        )
    findings = json.loads(ended.stdout)
    for number, _ in findings["problems"][:1]:
        kept.write_bytes(case(format_, SEED, number, sound))
    assert findings["problems"] == [], f"of seed {SEED}; the first is {kept}"
    assert findings["tried"] == count
    # The mutations are neither so wild that nothing gets past the header nor so tame that all is well.
    assert 0.05 * count < findings["decoded"] < 0.6 * count


def memory_for(program: str, *arguments: str) -> float:
    """Peak of a child in MB above what it had before `work()` of the program, which may raise ImageError."""
    ended = in_child(
        "from edge.errors import ImageError\nfrom fuzz.decode_batch import Memory\n"
        f"{program}\n"
        "memory = Memory()\nmemory.grown()\n"
        "try:\n    work()\nexcept ImageError:\n    pass\n"
        "print(memory.grown()[0])",
        *arguments,
    )
    assert ended.returncode == 0, ended.stderr
    return float(ended.stdout)


def decoding(file: Path) -> float:
    """MB that reading a file costs."""
    program = "import sys, pathlib\nfrom edge.vision.image import decode\ndata = pathlib.Path(sys.argv[1]).read_bytes()"
    return memory_for(f"{program}\nwork = lambda: decode(data)", str(file))


def small_png(*chunks: bytes) -> bytes:
    """8 x 8 pixels of three bytes, and what comes behind the header."""
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)) + b"".join(chunks)


_PIXELS = zlib.compress(bytes(8 * 25))
_PNG_END = png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([struct.pack(">I", 400_000_000) + b"IEND"], id="an end mark of 400 MB"),
        pytest.param([_PNG_END, struct.pack(">I", 400_000_000) + b"IDAT"], id="400 MB of pixels behind the end mark"),
    ],
)
def test_a_png_that_lies_about_a_length_costs_no_memory(tmp_path: Path, chunks: list[bytes]) -> None:
    file = tmp_path / "lie.png"
    file.write_bytes(small_png(*chunks))

    assert decoding(file) < 20


def test_a_damaged_second_frame_of_an_animated_png_does_not_crash(tmp_path: Path) -> None:
    file = tmp_path / "animated.png"
    file.write_bytes(damaged_animation())

    decoding(file)


def scan_bomb(side: int, scans: int) -> bytes:
    """A progressive JPEG of `side` x `side` grey pixels: each scan is some bytes and goes over the whole picture."""
    blocks = (side // 8) ** 2
    quantizer = b"\xff\xdb\x00\x43\x00" + bytes([1] * 64)
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 8 + 3, 8, side, side, 1) + b"\x01\x11\x00"
    # One code word each, the single bit 0: DC category 0; AC end of band for 2**14 blocks and 14 more bits of them.
    tables = b"\xff\xc4\x00\x14\x00" + bytes([1] + [0] * 15) + b"\x00"
    tables += b"\xff\xc4\x00\x14\x10" + bytes([1] + [0] * 15) + b"\xe0"
    first = b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00" + bytes(blocks // 8 + 1)
    bits = ("0" + "1" * 14) * -(-blocks // (2**15 - 1))
    coded = int(bits.ljust(-(-len(bits) // 8) * 8, "1"), 2).to_bytes(-(-len(bits) // 8), "big")
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00" + coded.replace(b"\xff", b"\xff\x00")
    return b"\xff\xd8" + quantizer + frame + tables + first + scans * scan + b"\xff\xd9"


def test_a_jpeg_of_thousands_of_scans_is_refused() -> None:
    assert decode(scan_bomb(64, 10)).shape == (64, 64, 3)

    with pytest.raises(ImageError, match="scans"):
        decode(scan_bomb(64, 5000))


def test_nor_are_they_hidden_behind_an_end_mark_in_a_comment() -> None:
    bomb, comment = scan_bomb(64, 5000), b"\xff\xfe\x00\x04\xff\xd9"
    at = bomb.index(b"\xff\xda\x00\x08\x01\x01\x00\x01")  # the second scan
    with pytest.raises(ImageError, match="scans"):
        decode(bomb[:at] + comment + bomb[at:])
    harmless = scan_bomb(64, 10)
    assert decode(harmless[:at] + comment + harmless[at:]).shape == (64, 64, 3)


def test_a_jpeg_of_thousands_of_parts_between_its_scans_is_refused() -> None:
    harmless = scan_bomb(64, 10)
    at = harmless.index(b"\xff\xda\x00\x08\x01\x01\x00\x01")
    with pytest.raises(ImageError, match="parts"):
        decode(harmless[:at] + b"\xff\xfe\x00\x02" * 3000 + harmless[at:])


def test_what_lies_behind_the_end_of_a_jpeg_is_nobodys_scan() -> None:
    """A phone's motion photo: the film behind it has an FF DA in each 64 KiB by chance."""
    assert decode(scan_bomb(64, 10) + b"\xff\xda\x00\x08film" * 1000).shape == (64, 64, 3)


def test_judging_a_long_thin_picture_as_a_face_costs_little_memory() -> None:
    cost = memory_for(
        "import numpy as np\nfrom edge.vision.geometry import face_input, whole\n"
        "image = np.zeros((30000, 2, 3), np.uint8)\nwork = lambda: face_input(image, whole(image), 0.0, (96, 96))"
    )

    assert cost < 80  # a square of 30,000 pixels would be 2700 MB


def test_a_thin_picture_is_still_a_face_input() -> None:
    image = np.full((300, 1, 3), 7, np.uint8)

    assert face_input(image, whole(image), 0.0, (96, 96)).tolist() == np.full((96, 96, 3), 7).tolist()


def a_tiff(*sizes: tuple[int, int, int, int]) -> bytes:
    """48 x 40 grey pixels that say their size with `sizes`."""
    others = [(258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, -1), (277, 3, 1, 1), (278, 4, 1, 40)]
    return tiff([*sizes, *others, (279, 4, 1, 48 * 40)], bytes(48 * 40))


def test_a_tiff_that_says_its_size_twice_is_held_to_what_is_decoded() -> None:
    twice = a_tiff((256, 4, 1, 48), (256, 4, 1, 1), (257, 4, 1, 40))

    with pytest.raises(ImageError):
        decode(twice, ImageLimits(max_pixels=1000))


def test_a_tiff_whose_tiles_are_larger_than_its_picture_costs_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "tiles.tiff"
    sizes = [(256, 4, 1, 48), (257, 4, 1, 40), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    tiles = [(322, 4, 1, 2**19), (323, 4, 1, 64), (324, 4, 1, -1), (325, 4, 1, 4096)]
    file.write_bytes(tiff([*sizes, *tiles], bytes(4096), ">"))

    assert decoding(file) < 20


def test_a_picture_cannot_write_into_the_journal(tmp_path: Path) -> None:
    file = tmp_path / "chatty.png"
    words = [png_chunk(b"tRNS", bytes(6))] * 500
    file.write_bytes(small_png(*words, png_chunk(b"IDAT", _PIXELS), _PNG_END))

    ended = in_child(
        "import sys, pathlib\nfrom edge.vision.image import decode\ndecode(pathlib.Path(sys.argv[1]).read_bytes())",
        str(file),
    )

    assert ended.returncode == 0, ended.stderr
    assert len(ended.stderr) < 1000


@pytest.mark.parametrize(
    "data", [b"BM" + bytes(8), b"RIFF" + bytes(4) + b"WEBP", b"II*\0" + b"\xff" * 8, b"\xff\xd8\xff"]
)
def test_a_header_without_anything_behind_it_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        decode(data, LIMITS)
