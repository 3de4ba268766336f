"""A file of a watched folder, read."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ImageError
from edge.sources.names import Claim
from edge.vision.geometry import Image
from edge.vision.image import decode, read_bytes

NOT_READ = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True)
class Dropped:
    """A claimed file. Exactly one of `image` and `error` is not None.

    `name` is the file's name as it was dropped in; `claim` is what it is called in .processing/ and unique there; `at`
    is when it was read, in seconds of a monotonic clock.
    """

    claim: str
    name: str
    sha256: str
    image: Image | None
    error: str | None
    at: float

    @classmethod
    def read(cls, path: Path, at: float) -> Dropped:
        """Reads a claimed file; what is wrong with it is in `error`. Links are not followed."""
        image, error, sha256 = None, None, NOT_READ
        try:
            data = read_bytes(path, flags=os.O_NOFOLLOW)
            sha256 = hashlib.sha256(data).hexdigest()
            image = decode(data)
        except ImageError as problem:
            error = str(problem)
        return cls(path.name, Claim.parse(path.name).name, sha256, image, error, at)
