"""Reads and analyses mutated pictures, one after the other: run in a process of its own, which a decoder may crash.

    python -m fuzz.decode_batch FORMAT SEED FIRST COUNT PROGRESS

The number of the case at work stands in the file PROGRESS, so that whoever finds this process dead knows of what. What
was found is printed as JSON.
"""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import numpy as np

from edge.errors import ImageError
from edge.vision.analyzer import Analyzer, Face
from edge.vision.classifier import MaskClassifier
from edge.vision.detector import load_detector
from edge.vision.geometry import Image
from edge.vision.image import ImageLimits, decode
from edge.vision.probe import probe
from fuzz.mutation import DIALECTS, mutated, tiff_parts
from fuzz.pictures import SOUND

LIMIT_S = 20
"""For one picture, by the wall clock: SIGALRM then ends the process."""
LIMITS = ImageLimits(max_pixels=300_000)
MEMORY_LIMIT_MB = 24
"""What one picture may cost for a moment: 300,000 pixels are 0.9 MB decoded; decoders keep several copies."""
ADDRESS_LIMIT_MB = 200
"""Likewise for memory that is asked for and not used; a decoder's first thread alone reserves 134 MB."""
_LONGEST_SIDE = 400
"""Larger pictures are only read: analysis would take most of the time."""
_MOST_PROBLEMS = 20


@dataclass
class Findings:
    """What came of a batch. `problems` are numbers of cases and what was wrong with them."""

    tried: int = 0
    decoded: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    slowest_s: float = 0.0
    most_memory_mb: float = 0.0
    problems: list[tuple[int, str]] = field(default_factory=list)


def case(format_: str, seed: int, number: int, sound: list[bytes]) -> bytes:
    """The bytes of one case."""
    rng = np.random.default_rng([seed, sum(format_.encode()), number])
    return mutated(rng, sound[number % len(sound)], DIALECTS[format_])


def known(data: bytes) -> bool:
    """Whether a case is of a defect that is reported, has its own test in test_bad_pictures.py, and is not yet mended.

    They crash or hang the process or cost gigabytes; take each out here with the mark of its test.
    """
    if data[:4] == b"\x89PNG":
        end = data.find(b"IEND")
        return b"acTL" in data or (end >= 4 and (data[end - 4 : end] != bytes(4) or b"IDAT" not in data[:end]))
    if data[:4] in (b"II*\0", b"MM\0*"):
        order = "<" if data[:2] == b"II" else ">"
        entries = [struct.unpack(order + "HHIHH", e) for e in tiff_parts(data)[1:-1] if len(e) == 12]
        tags = [entry[0] for entry in entries]
        large_tiles = any(entry[0] in (322, 323) and entry[-1] + (entry[-2] << 16) > 1024 for entry in entries)
        return large_tiles or tags.count(256) > 1 or tags.count(257) > 1
    return False


class Memory:
    """Peaks of this process since the last look, in MB."""

    def __init__(self) -> None:
        self._resident, self._addresses = self._now()

    def _now(self) -> tuple[float, float]:
        with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123  read thousands of times
            facts = dict(line.split(":", 1) for line in file)
        return int(facts["VmHWM"].split()[0]) / 1000, int(facts["VmPeak"].split()[0]) / 1000

    def grown(self) -> tuple[float, float]:
        """How far resident memory and addresses rose since the last call."""
        resident, addresses = self._now()
        grown = resident - self._resident, addresses - self._addresses
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write("5")  # the peak begins anew (proc(5))
        self._resident, self._addresses = self._now()
        return grown


class Reader:
    """The way of a dropped-in picture: decoded, and judged both as one face and with the detector."""

    def __init__(self) -> None:
        classifier = MaskClassifier("mask_classifier")
        self._whole = Analyzer(None, classifier, 8)
        self._detecting = Analyzer(load_detector("face_detector", 0.5), classifier, 8)

    def read(self, data: bytes) -> Iterator[str]:
        """Yields what is wrong. Raises ImageError, which is right."""
        image = decode(data, LIMITS)
        header = probe(data)
        height, width = image.shape[:2]
        if image.dtype != np.uint8 or image.shape[2:] != (3,):
            yield f"decoded to {image.dtype} {image.shape}"
        if sorted((width, height)) != sorted((header.width, header.height)):
            yield f"the header says {header.width} x {header.height}, decoded were {width} x {height}"
        for face in self._faces(image):
            box = face.box
            inside = 0 <= box.x < box.x + box.width <= width and 0 <= box.y < box.y + box.height <= height
            if not (0 <= face.p_mask <= 1 and inside):
                yield f"p_mask {face.p_mask}, {box}"

    def _faces(self, image: Image) -> Iterator[Face]:
        if max(image.shape) <= _LONGEST_SIDE:
            yield from self._whole.analyze(image)
            yield from self._detecting.analyze(image)


def try_cases(format_: str, seed: int, numbers: range, progress: int) -> Findings:
    """Tries all cases, and notes what is wrong with them."""
    findings, reader, memory = Findings(), Reader(), Memory()
    sound = list(SOUND[format_]().values())
    for data in sound:
        assert not list(reader.read(data))  # each is what it is meant to be before it is damaged
    for number in numbers:
        data = case(format_, seed, number, sound)
        findings.tried += 1
        if known(data):
            continue
        os.pwrite(progress, b"%12d" % number, 0)
        memory.grown()
        signal.alarm(LIMIT_S)
        began = time.process_time()
        try:
            problems = list(reader.read(data))
            findings.decoded += 1
        except ImageError as error:
            problems = []
            reason = re.sub(r"\d+", "#", str(error).split(":")[0])[:60]
            findings.refused[reason] = findings.refused.get(reason, 0) + 1
        except Exception as error:  # noqa: BLE001  whatever it is, that is what is looked for
            problems = [f"{type(error).__name__}: {error}"]
        signal.alarm(0)
        resident, addresses = memory.grown()
        if resident > MEMORY_LIMIT_MB or addresses > ADDRESS_LIMIT_MB:
            problems.append(f"cost {resident:.0f} MB of memory and {addresses:.0f} MB of addresses")
        findings.slowest_s = max(findings.slowest_s, time.process_time() - began)
        findings.most_memory_mb = max(findings.most_memory_mb, resident)
        findings.problems += [(number, problem) for problem in problems]
        if len(findings.problems) > _MOST_PROBLEMS:
            break
    return findings


def main() -> None:
    format_, seed, first, count, path = sys.argv[1:]
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process also inside a decoder
    progress = os.open(path, os.O_RDWR | os.O_CREAT)
    numbers = range(int(first), int(first) + int(count))
    print(json.dumps(asdict(try_cases(format_, int(seed), numbers, progress))))  # noqa: T201


if __name__ == "__main__":
    main()
