"""Events a person, wrong verdicts, missed people and time to the event, where the truth is known.

    python benchmarks/verdicts.py ../shared/data [--people 12] [--seed 1] [--kinds walk cross] [--clips] [--show]

Scenes: see director.py; each kind is drawn at 5, 10 and 30 frames a second. Clips: the films of DATA/clips, for which the
number of people is known. All rules see the same faces of the same detector and classifier:

- `frame`: every frame's label is an event unless the last event nearby said the same (what most projects do);
- `count`: the joined faces of a person vote with one vote each;
- `weighted`: what the daemon does, with every frame looked at;
- `maskgate`: what the daemon does, behind its gate: only where something changes.

Clips are read as the daemon would read them, with what it says of those who are in sight when the film ends.

An event belongs to the person whose face it shows, in the frame that it was seen in. A person counts when the face is
visible, at least 24 pixels large and not mostly hidden, for at least six frames and half a second. Who changes in view
may have two events, and the first must be of the first state.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from director import KINDS, STANDING, Director
from scenes import Person, Scene

from edge.assembly import Vision
from edge.gate import Gate
from edge.people import DecisionRule, People, Verdict
from edge.settings import CameraSource, load_settings
from edge.vision.analyzer import Analyzer, Face
from edge.vision.classifier import Label
from edge.vision.detector import Detection
from edge.vision.geometry import Box, Image, intersection_over_union

RATES = {5.0: (1280, 720), 10.0: (640, 480), 30.0: (640, 480)}
"""Frames a second, and the size of the frames."""
_LEAST_FRAMES, _LEAST_S = 6, 0.5
_CAMERA = CameraSource(kind="camera", name="x", url="x")
_BOTH = (Label.MASK, Label.NO_MASK)
CLIPS: dict[str, tuple[int, int, tuple[Label, ...]]] = {
    "one_masked_shop.mp4": (1, 1, (Label.MASK,)),
    "one_masked_laptop.mp4": (1, 1, (Label.MASK,)),
    "four_people_putting_on_masks.mp4": (5, 9, _BOTH),
    "one_putting_on_mask_hands.mp4": (1, 2, _BOTH),
    "one_unmasked_beard.mp4": (1, 1, (Label.NO_MASK,)),
    "three_unmasked_walking.gif": (3, 3, (Label.NO_MASK,)),
    "two_unmasked_walking.gif": (2, 2, (Label.NO_MASK,)),
    "unmasked_gesture.mkv": (1, 1, (Label.NO_MASK,)),
    "unmasked_hand_at_mouth_1.mkv": (1, 1, (Label.NO_MASK,)),
    "unmasked_hand_at_mouth_2.mkv": (1, 1, (Label.NO_MASK,)),
}
"""People, the most events that they may lead to, and the labels that are right. The fifth of four hangs on the wall: a
painted face with a painted mask."""


@dataclass(frozen=True)
class Look:
    """One frame with all its faces judged, whoever asks."""

    image: Image
    found: Sequence[Detection]
    faces: dict[Box, Face | None]
    at: float

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[1], self.image.shape[0]


Rule = Callable[[Look], list[Verdict]]


def each_frame() -> Rule:
    """The naive rule."""
    said: list[tuple[Box, Label, float]] = []

    def rule(look: Look) -> list[Verdict]:
        nonlocal said
        said = [item for item in said if look.at - item[2] < 2]
        new = []
        for face in look.faces.values():
            if face is None or face.label is Label.UNCERTAIN:
                continue
            near = [item for item in said if intersection_over_union(item[0], face.box) > 0.2]
            if not any(item[1] is face.label for item in near):
                new.append(Verdict(face.label, face.p_mask, "", look.at, 1, {}, face))
            said = [item for item in said if item not in near] + [(face.box, face.label, look.at)]
        return new

    return rule


def counted() -> Rule:
    """Votes of one weight: as if every face were large, sharp and surely found."""
    people = People(DecisionRule(), "count")

    def alike(face: Face | None) -> Face | None:
        return None if face is None else replace(face, sharpness=1e9, score=None)

    return lambda look: people.update(look.found, look.at, look.size, lambda each: alike(look.faces[each.box]))


def weighted() -> Rule:
    people = People(DecisionRule(), "weighted")
    return lambda look: people.update(look.found, look.at, look.size, lambda each: look.faces[each.box])


class Gated:
    """The daemon's way of a frame."""

    def __init__(self) -> None:
        self.gate, self.people = Gate(1 / _CAMERA.still_fps), People(DecisionRule(), "maskgate")
        self.frames = self.looks = 0

    def __call__(self, look: Look) -> list[Verdict]:
        self.frames += 1
        if not self.gate.opens(look.image, look.at):
            return self.people.hold(look.at)
        self.looks += 1
        verdicts = self.people.update(look.found, look.at, look.size, lambda each: look.faces[each.box])
        if self.people.restless:
            self.gate.stir(look.at)
        return verdicts


def rules() -> dict[str, Rule]:
    return {"frame": each_frame(), "count": counted(), "weighted": weighted(), "maskgate": Gated()}


def look_at(image: Image, at: float, analyzer: Analyzer) -> Look:
    found = analyzer.find(image)
    return Look(image, found, {each.box: analyzer.judge(image, each) for each in found}, at)


@dataclass
class Score:
    """Of one rule, summed over scenes."""

    people: int = 0
    events: int = 0
    allowed: int = 0
    wrong: int = 0
    missed: int = 0
    strangers: int = 0
    waits: list[float] = field(default_factory=list)

    def row(self, name: str) -> str:
        late, most = np.percentile(self.waits, [50, 95]) if self.waits else (0, 0)
        people = max(1, self.people)
        return (
            f"{name:<10}{self.people:>7}{self.events / people:>9.3f}{self.allowed / people:>9.3f}"
            f"{self.wrong:>7}{self.missed:>8}{self.strangers:>8}{late:>8.2f}{most:>7.2f}"
        )


HEAD = f"{'':<10}{'people':>7}{'events':>9}{'allowed':>9}{'wrong':>7}{'missed':>8}{'nobody':>8}{'p50 s':>8}{'p95 s':>7}"


def owner(scene: Scene, number: int, box: Box) -> Person | None:
    """Whose face it is: by where all heads are in that frame, visible or not."""
    best, found = 0.15, None
    for person in scene.people:
        since = number / scene.fps - person.starts_s
        if 0 <= since <= person.lasts_s:
            x, y, height = person.place(since)
            side = round(0.66 * height)
            there = Box(round(x - side / 2), round(y - side / 2), side, side)
            if (overlap := intersection_over_union(there, box)) > best:
                best, found = overlap, person
    return found


def add(score: Score, scene: Scene, said: Sequence[tuple[int, int, Verdict]], shown: str) -> None:
    """Holds verdicts (the frame they came with, the frame their face is of) against the people of the scene."""
    events: dict[int, list[tuple[int, Label, str]]] = defaultdict(list)
    for number, seen_in, verdict in said:
        person = owner(scene, seen_in, verdict.face.box)
        if person is None:
            score.strangers += 1
        else:
            events[id(person)].append((number, verdict.label, verdict.track_id))
    for index, person in enumerate(scene.people):
        if len(person.boxes) < max(_LEAST_FRAMES, _LEAST_S * scene.fps):
            continue
        told, right = events[id(person)], person.labels()
        wrong = sum(label is not right[min(nth, len(right) - 1)] for nth, (_, label, _) in enumerate(told))
        score.people += 1
        score.events += len(told)
        score.allowed += len(right)
        score.wrong += wrong
        score.missed += not told
        if told:
            score.waits.append(max(0, told[0][0] - min(person.boxes)) / scene.fps)
        if shown and (wrong or not told or len(told) > len(right)):
            span = f"{min(person.boxes)} to {max(person.boxes)}"
            print(f"  {shown}: person {index}, {' then '.join(right)}, visible {span}: {told}")


def scenes(options: argparse.Namespace, analyzer: Analyzer) -> None:
    director = Director(options.data, options.seed)
    totals: dict[str, Score] = defaultdict(Score)
    kinds: dict[str, Score] = defaultdict(Score)
    looks = frames = 0
    for kind in options.kinds:
        for fps, size in RATES.items():
            count = max(2, options.people // (3 if kind in STANDING else 1))
            scene, by_name = director.scene(kind, count, fps, size), rules()
            said: dict[str, list[tuple[int, int, Verdict]]] = defaultdict(list)
            seen_in: dict[tuple[Box, float], int] = {}
            for number, image in scene.frames():
                look = look_at(image, number / fps, analyzer)
                seen_in.update({(face.box, face.p_mask): number for face in look.faces.values() if face is not None})
                for name, rule in by_name.items():
                    said[name] += [
                        (number, seen_in[each.face.box, each.face.p_mask], each)
                        for each in rule(look)
                        if each.label is not Label.UNCERTAIN
                    ]
            for name in by_name:
                shown = f"{kind} at {fps:.0f}" if options.show and name == "maskgate" else ""
                add(totals[name], scene, said[name], shown)
            add(kinds[kind], scene, said["maskgate"], "")
            gated = by_name["maskgate"]
            assert isinstance(gated, Gated)
            looks, frames = looks + gated.looks, frames + gated.frames
    print(HEAD)
    for table in (kinds, totals):
        for name, score in table.items():
            print(score.row(name))
        print()
    print(f"the gate let {looks} of {frames} frames through")


def clip_looks(path: Path, analyzer: Analyzer) -> Iterator[Look]:
    """The frames that a camera with the default `max_fps` takes of a clip, and an empty one when all are forgotten."""
    capture = cv2.VideoCapture(str(path))
    fps = capture.get(cv2.CAP_PROP_FPS) or 25.0
    number, due, image = 0, 0.0, None
    while capture.grab():
        at = number / fps
        if at >= due:
            image = np.asarray(capture.retrieve()[1], np.uint8)
            yield look_at(image, at, analyzer)
            due = max(due + 1 / _CAMERA.max_fps, at)
        number += 1
    if image is not None:
        yield Look(np.zeros_like(image), (), {}, number / fps + DecisionRule().forget_after_s)


def clips(data: Path, analyzer: Analyzer) -> None:
    print(f"{'clip':<34}{'people':>7}{'frame':>7}{'count':>7}{'weighted':>9}{'maskgate':>9}{'wrong':>7}  verdicts")
    for name, (people, most, right) in CLIPS.items():
        by_name = rules()
        said: dict[str, list[tuple[float, Verdict]]] = defaultdict(list)
        for look in clip_looks(data / "clips" / name, analyzer):
            for rule_name, rule in by_name.items():
                said[rule_name] += [(look.at, each) for each in rule(look) if each.label is not Label.UNCERTAIN]
        ours = said["maskgate"]
        wrong = sum(verdict.label not in right for _, verdict in ours)
        words = ", ".join(f"{at:.1f} s {each.label} ({each.track_id.split('-')[1]})" for at, each in ours)
        counts = [len(said[rule_name]) for rule_name in by_name]
        print(
            f"{name:<34}{people if people == most else f'{people}-{most}':>7}{counts[0]:>7}{counts[1]:>7}"
            f"{counts[2]:>9}{counts[3]:>9}{wrong:>7}  {words}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--people", type=int, default=12, help="in each scene; there are three scenes of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--clips", action="store_true", help="the clips in place of scenes")
    parser.add_argument(
        "--show", action="store_true", help="a line for everybody who is missed, wrong or told too often"
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)
    analyzer = Vision.load(load_settings()).analyzer
    if options.clips:
        clips(options.data, analyzer)
    else:
        scenes(options, analyzer)


if __name__ == "__main__":
    main()
