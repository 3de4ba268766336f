"""Reading of pictures: what is accepted looks right, what is not is refused for the right reason and cheaply."""

from __future__ import annotations

import os
import resource
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import ImageError
from edge.vision.image import ImageLimits, decode, read_bytes
from edge.vision.probe import probe
from support.pictures import with_orientation


def gradient(width: int = 80, height: int = 60) -> np.ndarray:
    """Smooth, so that JPEG keeps it, and different in every channel and direction."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.dstack([x, y, 255 - x]).astype(np.uint8)


def encoded(image: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_a_format_is_known_by_its_content(suffix: str) -> None:
    data = encoded(gradient(), suffix)

    header = probe(data)

    assert (header.width, header.height) == (80, 60)
    assert np.abs(decode(data).astype(int) - gradient()).mean() < 4


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("grey", encoded(gradient()[..., 0], ".png")),
        ("grey and 16 bits", encoded(gradient()[..., 0].astype(np.uint16) * 257, ".png")),
        ("16 bits", encoded(gradient().astype(np.uint16) * 257, ".png")),
        ("16 bits", encoded(gradient().astype(np.uint16) * 257, ".tiff")),
        ("with transparency", encoded(np.dstack([gradient(), gradient()[..., 1]]), ".png")),
    ],
)
def test_every_depth_and_colour_model_becomes_eight_bits_of_blue_green_red(name: str, data: bytes) -> None:
    image = decode(data)

    expected = gradient() if not name.startswith("grey") else np.dstack([gradient()[..., 0]] * 3)
    assert image.dtype == np.uint8
    assert np.array_equal(image, expected)


def cmyk_jpeg() -> bytes:
    """A 16 x 16 CMYK JPEG of one colour, written by hand: OpenCV and matplotlib write none."""
    quantizer = b"\xff\xdb\x00\x43\x00" + bytes([1] * 64)
    components = b"".join(bytes([number, 0x11, 0]) for number in range(1, 5))
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 8 + 12, 8, 16, 16, 4) + components
    # One code word of each table: DC category 0 and AC end-of-block, both the single bit 0.
    dc = b"\xff\xc4\x00\x14\x00" + bytes([1] + [0] * 15) + b"\x00"
    ac = b"\xff\xc4\x00\x14\x10" + bytes([1] + [0] * 15) + b"\x00"
    scan = b"\xff\xda" + struct.pack(">HB", 6 + 8, 4) + bytes([1, 0, 2, 0, 3, 0, 4, 0]) + b"\x00\x3f\x00"
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    return b"\xff\xd8" + adobe + quantizer + frame + dc + ac + scan + bytes(4) + b"\xff\xd9"


def test_a_cmyk_jpeg_is_read() -> None:
    image = decode(cmyk_jpeg())

    assert image.shape == (16, 16, 3)
    assert len(np.unique(image)) <= 2


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(1, None), (3, cv2.ROTATE_180), (6, cv2.ROTATE_90_CLOCKWISE), (8, cv2.ROTATE_90_COUNTERCLOCKWISE)],
)
def test_exif_orientation_is_applied(orientation: int, upright: int | None) -> None:
    stored = gradient()

    image = decode(with_orientation(encoded(stored, ".jpg"), orientation))

    expected = stored if upright is None else cv2.rotate(stored, upright)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_a_file_that_is_cut_off_anywhere_is_refused(suffix: str) -> None:
    data = encoded(gradient(), suffix)

    for length in range(0, len(data) - 1, max(1, len(data) // 150)):
        with pytest.raises(ImageError):
            decode(data[:length])


def png_header(width: int, height: int) -> bytes:
    """A whole PNG file of any size whose pixels are missing but whose chunks are not."""
    chunks = b""
    for kind, content in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ):
        chunks += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_a_picture_of_900_megapixels_is_refused_without_memory_for_it() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(ImageError, match="30000 x 30000 pixels, more than the limit of 40 million"):
        decode(png_header(30_000, 30_000))

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000  # kB; the pixels would be 2.7 GB


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello, this is no picture", "not a picture of a known format"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        (b"\xff\xd8\xff\xd9", "holds no picture"),
        (b"\xff\xd8\xff\xe0\x00", "cut off in its header"),
        (png_header(0, 10), "0 x 10 pixels"),
        (png_header(10, 10), "the PNG is damaged"),
        (b"II*\0\x08\0\0\0\0\0", "0 x 0 pixels"),
    ],
)
def test_what_is_no_picture_is_refused_for_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        decode(data)


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.jpg"
    with file.open("wb") as stream:
        stream.truncate(65 * 2**20)

    with pytest.raises(ImageError, match="larger than 64 MiB"):
        read_bytes(file)


def test_a_limit_on_pixels_can_be_set() -> None:
    with pytest.raises(ImageError, match="80 x 60"):
        decode(encoded(gradient(), ".jpg"), ImageLimits(max_pixels=4799))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)

    with pytest.raises(ImageError, match="not a file"):
        read_bytes(pipe)


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read: No such file"):
        read_bytes(tmp_path / "missing.jpg")
    with pytest.raises(ImageError, match="Is a directory"):
        read_bytes(tmp_path)


def test_a_jpeg_that_is_made_to_cost_time_is_refused_at_once() -> None:
    jpeg = encoded(gradient(), ".jpg")
    scans = jpeg[:-2] + b"\xff\xda\x00\x02" * 300 + b"\xff\xd9"
    parts = jpeg[:2] + b"\xff\xe1\x00\x02" * 3000 + jpeg[2:]
    padding = jpeg[:2] + b"\xff" * 10_000 + jpeg[2:]

    for data, reason in ((scans, "more than 200 scans"), (parts, "more than 2000 parts"), (padding, "2000 parts")):
        with pytest.raises(ImageError, match=reason):
            decode(data)
