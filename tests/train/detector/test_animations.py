"""An animated PNG whose second frame is damaged ends OpenCV's reader with a crash: only its first is shown to it."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from fuzz.pictures import png_chunk
from support.components import ROOT

_SIDE = 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds such a file, opaque."""
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 6, 0, 0, 0)
    second = struct.pack(">IIIIIHHBB", 1, _SIDE, _SIDE, 0, 0, 1, 10, 0, 0)
    row = 1 + _SIDE * 4
    damaged = zlib.compress(bytes(row) + b"\x09" * (_SIDE - 1) * row)  # there is no ninth filter
    chunks = [
        png_chunk(b"IHDR", header),
        png_chunk(b"acTL", struct.pack(">II", 2, 0)),
        png_chunk(b"IDAT", zlib.compress((b"\0" + b"\xff" * _SIDE * 4) * _SIDE)),
        png_chunk(b"fcTL", second),
        png_chunk(b"fdAT", struct.pack(">I", 2) + damaged),
        png_chunk(b"IEND", b""),
    ]
    (tmp_path / "animated.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return tmp_path


@pytest.mark.parametrize(
    "reading",
    [
        "from train.detector.data import read_backgrounds\npictures = [p.pixels() for p in read_backgrounds(folder)]",
        "from train.detector.objects import read_objects\npictures = [c.pixels for c in read_objects(folder)]",
    ],
    ids=["without a face", "an object"],
)
def test_the_first_frame_is_read(reading: str, folder: Path) -> None:
    program = f"import sys, pathlib\nfolder = pathlib.Path(sys.argv[1])\n{reading}"
    program += "\nprint([(p.shape, int(p.min())) for p in pictures])"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"[(({_SIDE}, {_SIDE}, 3), 255)]\n"
