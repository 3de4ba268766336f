"""Names of files in a watched folder: of claims in .processing/, and of what ends in done/ and failed/."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_CLAIM = re.compile(r"\.(\d+)\.(\d+)~(.*)", re.S)
UNFINISHED = ".json.tmp"
_LONGEST_NAME = 255 - len(f".{UNFINISHED}")
"""In bytes: what file systems allow, less what the record's temporary name adds."""


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
    number, free = 0, name
    while os.path.lexists(folder / free) or os.path.lexists(folder / f"{free}.json") or _too_long(free):
        if _too_long(free):
            stem, suffix = (stem[:-1], suffix) if stem else (stem, suffix[:-1])
        else:
            number += 1
        free = f"{stem}-{number}{suffix}" if number else f"{stem}{suffix}"
    return free


def _too_long(name: str) -> bool:
    return len(os.fsencode(name)) > _LONGEST_NAME


def complete_records(folder: Path) -> None:
    """Puts the records in place whose pictures a killed run had moved, and drops those whose pictures it had not."""
    for unfinished in folder.glob(f".*{UNFINISHED}"):
        picture = folder / unfinished.name[1 : -len(UNFINISHED)]
        if os.path.lexists(picture):
            unfinished.rename(folder / f"{picture.name}.json")
        else:
            unfinished.unlink()
