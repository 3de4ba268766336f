"""Sound bytes in, damaged bytes out: anywhere, or where the format's own structure says that it hurts most."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Parts = list[bytes]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a format is built: `split` cuts bytes into parts that together are the bytes, `join` puts parts in order."""

    split: Callable[[bytes], Parts]
    join: Callable[[Parts], bytes] = b"".join


_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def mutated(rng: np.random.Generator, data: bytes, dialect: Dialect | None = None) -> bytes:
    """One to four mutations, one after the other.

    Args:
        rng: decides everything.
        data: to begin with.
        dialect: how the data is built, where it is known.
    """
    for _ in range(int(rng.integers(1, 5))):
        if dialect is not None and rng.random() < 0.7:
            parts = _change_parts(rng, dialect.split(data))
            data = dialect.join(parts) if rng.random() < 0.8 else b"".join(parts)
        else:
            data = _change(rng, data)
    return data


def _change(rng: np.random.Generator, data: bytes) -> bytes:
    return _MUTATIONS[int(rng.integers(len(_MUTATIONS)))](rng, data)


def _place(rng: np.random.Generator, data: bytes) -> int:
    """Anywhere behind what names the format, but every second time in the first bytes, where headers are."""
    reach = len(data) if rng.random() < 0.5 else min(len(data), 64)
    return int(rng.integers(4, reach)) if reach > 4 else 0


def _flip(rng: np.random.Generator, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        if changed:
            changed[_place(rng, data)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _extreme(rng: np.random.Generator, data: bytes) -> bytes:
    value = _EXTREMES[int(rng.integers(len(_EXTREMES)))]
    size = (1, 2, 4)[int(rng.integers(3))]
    field = (value & (1 << 8 * size) - 1).to_bytes(size, "big" if rng.random() < 0.5 else "little")
    at = _place(rng, data)
    return data[:at] + field + data[at + size :]


def _insert(rng: np.random.Generator, data: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + rng.bytes(int(rng.integers(1, 65))) + data[at:]


def _delete(rng: np.random.Generator, data: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + data[at + int(rng.integers(1, 65)) :]


def _cut_off(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: _place(rng, data)]


def _repeat(rng: np.random.Generator, data: bytes) -> bytes:
    start, length, at = _place(rng, data), int(rng.integers(1, 257)), _place(rng, data)
    return data[:at] + data[start : start + length] + data[at:]


def _noise(rng: np.random.Generator, data: bytes) -> bytes:
    at, length = _place(rng, data), int(rng.integers(1, 33))
    return data[:at] + rng.bytes(length) + data[at + length :]


_MUTATIONS = (_flip, _flip, _flip, _extreme, _extreme, _extreme, _insert, _delete, _cut_off, _repeat, _noise)


def _change_parts(rng: np.random.Generator, parts: Parts) -> Parts:
    if not parts:
        return parts
    first = int(len(parts) > 1 and rng.random() < 0.95)  # what names the format is mostly left alone
    a, b = (int(n) for n in rng.integers(first, max(len(parts), first + 1), size=2))
    action = int(rng.integers(8))
    if action == 0:
        parts[a], parts[b] = parts[b], parts[a]
    elif action == 1:
        del parts[a]
    elif action == 2:
        parts.insert(b, parts[a])
    elif action == 3:
        parts[a:a] = [parts[a]] * int(rng.integers(2, 50))
    else:
        parts[a] = _change(rng, parts[a])
    return parts


def png_parts(data: bytes) -> Parts:
    parts, at = [data[:8]], 8
    while at + 8 <= len(data):
        end = at + 12 + int(struct.unpack_from(">I", data, at)[0])
        parts.append(data[at:end])
        at = end
    return [*parts, data[at:]]


def png_whole(parts: Parts) -> bytes:
    """With right lengths and checksums, without which a PNG is put away unread."""
    chunks = [struct.pack(">I", len(part) - 12) + part[4:-4] + struct.pack(">I", zlib.crc32(part[4:-4]))
              if len(part) >= 12 else part for part in parts[1:]]  # fmt: skip
    return b"".join([*parts[:1], *chunks])


def jpeg_parts(data: bytes) -> Parts:
    """Segments; coded data belongs to the start of its scan."""
    marks = [
        at for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1] not in (0, 0xFF, *range(0xD0, 0xD8))
    ]
    return [data[start:end] for start, end in zip([0, *marks], [*marks, len(data)], strict=True) if end > start]


def riff_parts(data: bytes) -> Parts:
    parts, at = [data[:12]], 12
    while at + 8 <= len(data):
        size = int(struct.unpack_from("<I", data, at + 4)[0])
        end = at + 8 + size + size % 2
        parts.append(data[at:end])
        at = end
    return [*parts, data[at:]]


def riff_whole(parts: Parts) -> bytes:
    """With right lengths."""
    chunks = [part[:4] + struct.pack("<I", len(part) - 8) + part[8:] if len(part) >= 8 else part for part in parts[1:]]
    content = b"".join([*(part[8:] for part in parts[:1]), *chunks])
    return b"RIFF" + struct.pack("<I", len(content)) + content


def bmp_parts(data: bytes) -> Parts:
    return [data[:14], *(data[at : at + 4] for at in range(14, 54, 4)), data[54:]]


def tiff_parts(data: bytes) -> Parts:
    """Entries of the first directory apart from each other, and what lies before and behind."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        directory = int(struct.unpack_from(order + "I", data, 4)[0])
        entries = int(struct.unpack_from(order + "H", data, directory)[0])
    except struct.error:
        return [data]
    starts = range(directory + 2, min(directory + 2 + 12 * entries, len(data)), 12)
    behind = starts[-1] + 12 if starts else directory + 2
    return [data[: directory + 2], *(data[at : at + 12] for at in starts), data[behind:]]


DIALECTS = {
    "JPEG": Dialect(jpeg_parts),
    "PNG": Dialect(png_parts, png_whole),
    "WebP": Dialect(riff_parts, riff_whole),
    "BMP": Dialect(bmp_parts),
    "TIFF": Dialect(tiff_parts),
}
