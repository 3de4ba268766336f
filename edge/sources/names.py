"""Names of files in a watched folder: of claims in .processing/, and of what ends in done/ and failed/."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_CLAIM = re.compile(r"\.(\d+)\.(\d+)~(.*)", re.S)
UNFINISHED = ".json.tmp"
_LONGEST_NAME = 255 - len(f".{UNFINISHED}") - len("-1234567")
"""In bytes: what file systems allow, less what a number and the record's temporary name add."""


_LONGEST_SUFFIX = 16
"""In characters; what is longer is no suffix but a name with a dot in it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a file is called in .processing/: its name, or `.NUMBER.ATTEMPTS~NAME` where one of the two is not 0.

    The number tells files of one name apart that are there at once; the attempts count the runs that ended in the
    middle of the work. No dropped-in name begins with a dot, so the two forms cannot be taken for each other.
    """

    name: str
    number: int = 0
    attempts: int = 0

    @property
    def file_name(self) -> str:
        return f".{self.number}.{self.attempts}~{self.name}" if self.number or self.attempts else self.name

    @classmethod
    def parse(cls, file_name: str) -> Claim:
        found = _CLAIM.fullmatch(file_name)
        return cls(found[3], int(found[1]), int(found[2])) if found else cls(file_name)


def free_name(folder: Path, name: str) -> str:
    """`name`, or `stem-1.ext` and on, such that neither it nor its .json is taken in `folder`."""
    stem, suffix = Path(name).stem, Path(name).suffix
    if len(suffix) > _LONGEST_SUFFIX:
        stem, suffix = name, ""
    while len(os.fsencode(f"{stem}{suffix}")) > _LONGEST_NAME:
        stem = stem[:-1]

    def numbered(number: int) -> str:
        return f"{stem}-{number}{suffix}" if number else f"{stem}{suffix}"

    def is_taken(number: int) -> bool:
        return any(os.path.lexists(folder / each) for each in (numbered(number), f"{numbered(number)}.json"))

    if not is_taken(0):
        return numbered(0)
    # Double until a number is free, then halve the way back: a camera may have sent thousands under one name.
    taken, free = 0, 1
    while is_taken(free):
        taken, free = free, 2 * free
    while free - taken > 1:
        middle = (taken + free) // 2
        taken, free = (middle, free) if is_taken(middle) else (taken, middle)
    return numbered(free)


def put_away(path: Path, folder: Path, name: str, record: str) -> None:
    """Moves a file into `folder`, its record beside it; what a kill cuts in half `complete_records` puts right."""
    folder.mkdir(exist_ok=True)
    name = free_name(folder, name)
    unfinished = folder / f".{name}{UNFINISHED}"
    unfinished.write_text(record + "\n", encoding="utf-8")
    path.rename(folder / name)
    unfinished.rename(folder / f"{name}.json")


def complete_records(folder: Path) -> None:
    """Puts the records in place whose pictures a killed run had moved, and drops those whose pictures it had not."""
    for unfinished in folder.glob(f".*{UNFINISHED}"):
        picture = folder / unfinished.name[1 : -len(UNFINISHED)]
        if os.path.lexists(picture):
            unfinished.rename(folder / f"{picture.name}.json")
        else:
            unfinished.unlink()
