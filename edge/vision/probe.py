"""What a picture's bytes say of it before anything is decoded: format, size, and whether the end is there.

OpenCV has no call that reads a header alone, and its JPEG reader fills what is missing with grey without a word. The
formats' own structure is enough to answer both; nothing here allocates more than a few numbers.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge.errors import ImageError

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_WITHOUT_LENGTH = frozenset([0x01, *range(0xD0, 0xD9)])
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])", re.DOTALL)
"""Of a part, a scan or the end; the others stand in the coded data."""
_MOST_MARKERS, _MOST_SCANS = 2000, 200
"""Far above what any camera writes (a progressive JPEG has about ten scans); above that it is made to cost time."""
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 256, 257, 322, 323
_LARGEST_TILE = 1024
"""In pixels; a small picture may be one tile of a usual size."""
_PNG_MARK = b"\x89PNG\r\n\x1a\n"
_PNG_NEEDED = frozenset([b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"eXIf", b"IEND"])


@dataclass(frozen=True, slots=True)
class Header:
    """Format by content, and size in pixels as stored (before any EXIF rotation)."""

    format: str
    width: int
    height: int


def probe(data: bytes) -> Header:
    """Reads the header of a picture.

    Raises:
        ImageError: empty, no known picture format, damaged, or cut off before its end.
    """
    if not data:
        raise ImageError("the file is empty")
    for name, matches, read in _FORMATS:
        if matches(data):
            try:
                width, height = read(data)
            except (struct.error, IndexError) as error:
                raise ImageError(f"the {name} is damaged or cut off in its header") from error
            if width < 1 or height < 1:
                raise ImageError(f"the {name} says it is {width} x {height} pixels")
            return Header(name, width, height)
    if data[4:8] == b"ftyp":
        raise ImageError("HEIC, AVIF and video files are not read; convert it to JPEG or PNG")
    raise ImageError("not a picture of a known format (JPEG, PNG, WebP, BMP, TIFF)")


def _jpeg(data: bytes) -> tuple[int, int]:
    size = None
    at = 2
    for _ in range(_MOST_MARKERS):
        if data[at] != 0xFF:
            raise ImageError(f"the JPEG is damaged at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_WITHOUT_LENGTH:
            at += 2
        elif marker in (0xDA, 0xD9):
            break
        else:
            if marker in _JPEG_FRAMES:
                height, width = struct.unpack_from(">HH", data, at + 5)
                size = width, height
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    else:
        raise ImageError(f"the JPEG has more than {_MOST_MARKERS} parts before its picture")
    if size is None:
        raise ImageError("the JPEG holds no picture")
    if _scans(data, at) > _MOST_SCANS:
        raise ImageError(f"the JPEG has more than {_MOST_SCANS} scans, each of which costs as much as a picture")
    # In the coded data an FF is always followed by 00 or a restart mark, so this is the real end.
    if data.find(b"\xff\xd9", at) < 0:
        raise ImageError("the JPEG is cut off before its end")
    return size


def _scans(data: bytes, at: int) -> int:
    """How many scans there are from the first one to the end mark; behind it phones write whole films.

    Parts between the scans are stepped over, for a comment may hold what looks like an end mark.
    """
    scans = 0
    for _ in range(_MOST_MARKERS):
        found = _JPEG_MARKER.search(data, at)
        if found is None or found[1] == b"\xd9" or scans > _MOST_SCANS:
            return scans
        at = found.end()
        scans += found[1] == b"\xda"
        if found[1][0] not in _JPEG_WITHOUT_LENGTH:
            at += int.from_bytes(data[at : at + 2], "big")
    raise ImageError(f"the JPEG has more than {_MOST_MARKERS} parts")


def _png(data: bytes) -> tuple[int, int]:
    for _ in _png_chunks(data):
        pass
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and bytes (length, kind, content, check sum) of each chunk up to the end mark."""
    at = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise ImageError("the PNG is cut off before its end")
        yield kind, data[at:end]
        if kind == b"IEND":
            return
        at = end


def still_picture(data: bytes) -> bytes:
    """The picture alone: of a PNG only the chunks that its pixels need, each kind but the pixels once.

    OpenCV's reader believes lengths that stand behind the end mark, crashes on damaged second frames of an animation,
    and lets libpng write a line for every odd chunk. Other formats come back as they are. `probe` must have passed it.
    """
    if data[:8] != _PNG_MARK:
        return data
    kept: list[bytes] = [_PNG_MARK]
    seen: set[bytes] = set()
    for kind, chunk in _png_chunks(data):
        if kind == b"IDAT" or (kind in _PNG_NEEDED and kind not in seen):
            kept.append(chunk)
        seen.add(kind)
    return b"".join(kept)


def _webp(data: bytes) -> tuple[int, int]:
    if len(data) < 8 + struct.unpack_from("<I", data, 4)[0]:
        raise ImageError("the WebP is cut off before its end")
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _bmp(data: bytes) -> tuple[int, int]:
    start, header = struct.unpack_from("<II", data, 10)
    if header == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        compressed = 0
    else:
        width, height, _, depth, compressed = struct.unpack_from("<iiHHI", data, 18)
    height = abs(height)
    if compressed in (0, 3) and len(data) < start + (width * depth + 31) // 32 * 4 * height:
        raise ImageError("the BMP is cut off before its end")
    return width, height


def _tiff(data: bytes) -> tuple[int, int]:
    order = "<" if data[:2] == b"II" else ">"
    directory = struct.unpack_from(order + "I", data, 4)[0]
    if directory + 2 > len(data):
        raise ImageError("the TIFF is cut off before its end")
    sizes = {}
    for index in range(struct.unpack_from(order + "H", data, directory)[0]):
        at = directory + 2 + 12 * index
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag in sizes:
            raise ImageError("the TIFF is damaged: it says its size twice")
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT):
            sizes[tag] = int(struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 8)[0])
    width, height = sizes.get(_TIFF_WIDTH, 0), sizes.get(_TIFF_HEIGHT, 0)
    for tile, side in ((_TIFF_TILE_WIDTH, width), (_TIFF_TILE_HEIGHT, height)):
        if sizes.get(tile, 0) > max(side, _LARGEST_TILE):
            raise ImageError("the TIFF has tiles that are larger than its picture")
    return width, height


_FORMATS: tuple[tuple[str, Callable[[bytes], bool], Callable[[bytes], tuple[int, int]]], ...] = (
    ("JPEG", lambda data: data[:3] == b"\xff\xd8\xff", _jpeg),
    ("PNG", lambda data: data[:8] == _PNG_MARK, _png),
    ("WebP", lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", _webp),
    ("BMP", lambda data: data[:2] == b"BM", _bmp),
    ("TIFF", lambda data: data[:4] in (b"II*\0", b"MM\0*"), _tiff),
)


def looks_like_picture(start: bytes) -> bool:
    """Whether the first 16 bytes of a file are those of a known picture format."""
    return any(matches(start) for _, matches, _ in _FORMATS)
