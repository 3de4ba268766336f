"""Small sound pictures in every dialect of every format that is read, made here: what mutation begins with."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np

from edge.sources.demo import portrait
from edge.vision.geometry import Image

WIDTH, HEIGHT = 48, 40


def scene() -> Image:
    """A face, small: what makes detector and classifier work."""
    return np.asarray(cv2.resize(portrait(), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def encoded(image: np.ndarray, suffix: str, *options: int) -> bytes:
    done, data = cv2.imencode(suffix, image, options)
    assert done
    return data.tobytes()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(depth: int, colour: int, rows: bytes, interlaced: int = 0, *between: bytes) -> bytes:
    """A PNG whose scan lines (filter byte first) are given; `between` are chunks before the pixels."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, interlaced)
    pixels = png_chunk(b"IDAT", zlib.compress(rows))
    start = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    return start + b"".join(between) + pixels + png_chunk(b"IEND", b"")


def _rows(samples: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in samples)


def _adam7(samples: np.ndarray) -> bytes:
    starts = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    return b"".join(_rows(np.ascontiguousarray(samples[y::dy, x::dx])) for y, x, dy, dx in starts)


def _apng(rgb: np.ndarray) -> bytes:
    control = struct.pack(">IIIIIHHBB", 0, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0)
    second = struct.pack(">IIIIIHHBB", 1, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0)
    first = png(8, 2, _rows(rgb), 0, png_chunk(b"acTL", struct.pack(">II", 2, 0)), png_chunk(b"fcTL", control))
    frame = png_chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(_rows(rgb)))
    return first[:-12] + png_chunk(b"fcTL", second) + frame + png_chunk(b"IEND", b"")


def _pngs() -> dict[str, bytes]:
    rgb = cv2.cvtColor(scene(), cv2.COLOR_BGR2RGB)
    grey = cv2.cvtColor(scene(), cv2.COLOR_BGR2GRAY)
    palette = png_chunk(b"PLTE", bytes(range(48)))
    alpha = png_chunk(b"tRNS", bytes(16))
    nibbles = (grey[:, ::2] >> 4 << 4) | (grey[:, 1::2] >> 4)
    words = [png_chunk(b"tEXt", b"Comment\0hello"), png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(9999)))]
    profile = png_chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(128)))
    exif = png_chunk(b"eXIf", _exif_block(6))
    return {
        "8 bits": encoded(scene(), ".png"),
        "16 bits": png(16, 2, _rows(rgb.astype(">u2") * 257)),
        "grey": png(8, 0, _rows(grey)),
        "grey and alpha, 16 bits": png(16, 4, _rows(np.dstack([grey, grey]).astype(">u2") * 257)),
        "palette": png(4, 3, _rows(nibbles), 0, palette, alpha),
        "one bit": png(1, 0, _rows(np.packbits(grey > 127, axis=1))),
        "interlaced": png(8, 2, _adam7(rgb), 1),
        "interlaced, 16 bits": png(16, 2, _adam7(rgb.astype(">u2") * 257), 1),
        "animated": _apng(rgb),
        "with words, profile and EXIF": png(8, 2, _rows(rgb), 0, profile, exif, *words),
    }


def _exif_block(orientation: int) -> bytes:
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    block = b"Exif\0\0" + _exif_block(orientation)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


def _jpegs() -> dict[str, bytes]:
    quality = [cv2.IMWRITE_JPEG_QUALITY, 60]
    progressive = encoded(scene(), ".jpg", *quality, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return {
        "baseline": encoded(scene(), ".jpg", *quality),
        "every colour in full": encoded(scene(), ".jpg", *quality, *sampling),
        "progressive": progressive,
        "grey": encoded(cv2.cvtColor(scene(), cv2.COLOR_BGR2GRAY), ".jpg", *quality),
        "with restart marks": encoded(scene(), ".jpg", *quality, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        "with EXIF": with_exif(encoded(scene(), ".jpg", *quality), 6),
        "progressive with EXIF": with_exif(progressive, 5),
    }


def riff_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def riff(*chunks: bytes) -> bytes:
    content = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def _extended(flags: int, *chunks: bytes) -> bytes:
    size = (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
    return riff(riff_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + size), *chunks)


def _webps() -> dict[str, bytes]:
    lossy = encoded(scene(), ".webp", cv2.IMWRITE_WEBP_QUALITY, 50)
    lossless = encoded(scene(), ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)
    alpha = riff_chunk(b"ALPH", b"\0" + bytes(range(256)) * 7 + bytes(WIDTH * HEIGHT - 256 * 7))
    size = (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
    frame = riff_chunk(b"ANMF", bytes(6) + size + bytes([100, 0, 0, 0]) + lossy[12:])
    exif = riff_chunk(b"EXIF", _exif_block(3))
    return {
        "lossy": lossy,
        "lossless": lossless,
        "lossless with alpha": encoded(np.dstack([scene(), scene()[..., 0]]), ".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
        "extended": _extended(0x18, alpha, lossy[12:], exif),
        "animated": _extended(0x02, riff_chunk(b"ANIM", bytes(6)), frame, frame),
    }


def _bmps() -> dict[str, bytes]:
    grey = cv2.cvtColor(scene(), cv2.COLOR_BGR2GRAY)
    palette = bytes(b for n in range(256) for b in (n, n, n, 0))
    runs = b"".join(bytes([WIDTH, int(row[0])]) + b"\0\0" for row in grey[::-1]) + b"\0\1"
    dib = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 8, 1, len(runs), 0, 0, 256, 0)
    start = 14 + len(dib) + len(palette)
    packed = b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + dib + palette + runs
    rows = np.ascontiguousarray(scene()[::-1]).tobytes()
    core = b"BM" + struct.pack("<IHHI", 26 + len(rows), 0, 0, 26) + struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 24)
    return {
        "24 bits": encoded(scene(), ".bmp"),
        "palette": encoded(grey, ".bmp"),
        "32 bits": encoded(np.dstack([scene(), scene()[..., 0]]), ".bmp"),
        "run lengths": packed,
        "short header": core + rows,
    }


def tiff(entries: list[tuple[int, int, int, int]], data: bytes, order: str = "<") -> bytes:
    """A TIFF with one directory at byte 8 and `data` right behind it.

    Args:
        entries: tag, type, count, value; a value of -1 - n means n bytes into `data`.
        data: what the entries point to.
        order: `<` or `>`.
    """
    behind = 8 + 2 + 12 * len(entries) + 4
    fields = b""
    for tag, kind, count, value in entries:
        real = value if value >= 0 else behind - 1 - value
        short = kind == 3 and count == 1
        fields += struct.pack(order + "HHI", tag, kind, count)
        fields += struct.pack(order + "HH", real, 0) if short else struct.pack(order + "I", real)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return start + fields + bytes(4) + data


def _tiled(order: str) -> bytes:
    tile = np.zeros((64, 64), np.uint8)
    tile[:HEIGHT, :WIDTH] = cv2.cvtColor(scene(), cv2.COLOR_BGR2GRAY)
    entries = [(256, 4, 1, WIDTH), (257, 4, 1, HEIGHT), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    entries += [(322, 4, 1, 64), (323, 4, 1, 64), (324, 4, 1, -1), (325, 4, 1, 64 * 64)]
    return tiff(entries, tile.tobytes(), order)


def _tiffs() -> dict[str, bytes]:
    wide = scene().astype(np.uint16) * 257
    pages = cv2.imencodemulti(".tiff", [scene(), scene()])[1].tobytes()
    compressions = {"plain": 1, "LZW": 5, "deflate": 8, "JPEG inside": 7, "PackBits": 32773}
    made = {name: encoded(scene(), ".tiff", cv2.IMWRITE_TIFF_COMPRESSION, code) for name, code in compressions.items()}
    return made | {
        "16 bits": encoded(wide, ".tiff", cv2.IMWRITE_TIFF_COMPRESSION, 1),
        "two pages": pages,
        "tiled": _tiled("<"),
        "tiled, the other byte order": _tiled(">"),
    }


SOUND: dict[str, Callable[[], dict[str, bytes]]] = {
    "JPEG": _jpegs,
    "PNG": _pngs,
    "WebP": _webps,
    "BMP": _bmps,
    "TIFF": _tiffs,
}
"""By format: a function that makes the sound pictures, by what is special about each."""


def damaged_animation() -> bytes:
    """8 x 8 black pixels, and a second frame that libpng cannot undo: the plain way to read it ends the process."""
    damaged = zlib.compress(bytes(25) + b"\x09" * 7 * 25)  # there is no ninth filter
    second = struct.pack(">IIIIIHHBB", 1, 8, 8, 0, 0, 1, 10, 0, 0)
    chunks = [
        png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)),
        png_chunk(b"acTL", struct.pack(">II", 2, 0)),
        png_chunk(b"IDAT", zlib.compress(bytes(8 * 25))),
        png_chunk(b"fcTL", second),
        png_chunk(b"fdAT", struct.pack(">I", 2) + damaged),
        png_chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
