"""Faces with their surroundings, decoded once and kept in one file, so that no epoch waits for JPEG.

A region is the part of a picture that any augmentation may show: the face box and 75 % of its longer side around it, or
the whole picture when no box is known. It is stored smaller than the original if the face is larger than training can
use.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError, ModelError
from edge.vision.geometry import Box, Image, whole
from edge.vision.yunet import Yunet
from train.arrays import read_arrays
from train.files import replacing, taking_turns
from train.packages import at_most
from train.progress import Count, uncounted
from train.samples import Sample
from train.storage import PictureStore
from train.views import check_box

log = logging.getLogger(__name__)

SURROUNDINGS = 0.75
"""Share of the longer side of the box that is kept on each side: room for a 45 % margin, a shift and a turn."""

_LONGEST_FACE = 176
"""In pixels; a larger face is stored at this size. The largest input of our models is 224 for box and margins."""

_LONGEST_WHOLE = 256
_LONGEST_SCENE = 480
_LONGEST_SHOWN = 640
_FORMAT = 4


@dataclass(frozen=True, slots=True)
class Region:
    """Pixels around a face.

    Attributes:
        image: BGR.
        box: the face in pixels of `image`; None if it is not known.
        landmarks: shape (5, 2), x and y of the eyes, the nose tip and the corners of the mouth (picture's left first),
            in pixels of `image`; None if not known.
        face_px: longer side of the face in the original picture, 0 if not known.
    """

    image: Image
    box: Box | None
    landmarks: NDArray[np.float32] | None
    face_px: int

    @property
    def face(self) -> Box:
        """The box, or the whole region when none is known."""
        return self.box or whole(self.image)


class LandmarkFinder:
    """Box and landmarks of the clearest face of a picture by YuNet; helps where the data set has none.

    Args:
        path: the .onnx file.

    Raises:
        ModelError: it is none that OpenCV can load and run.
    """

    def __init__(self, path: Path) -> None:
        self._network = Yunet(path, min_score=0.6)
        try:  # OpenCV loads any network, and finds out when it runs it.
            self._network.rows(np.zeros((320, 320, 3), np.uint8))
        except cv2.error as error:
            raise ModelError(f"{path} is no YuNet model: {error.err or 'OpenCV cannot run it'}") from error

    def find(self, image: Image) -> tuple[Box, NDArray[np.float32]] | None:
        """The best face, or None. Tried with a border too: faces that fill the picture are found less often.

        A large picture is shrunk for it, as the daemon does: YuNet loses faces that are much larger than that.
        """
        small = at_most(image, _LONGEST_SHOWN)
        scale = np.float32(max(small.shape[:2]) / max(image.shape[:2]))
        border = max(small.shape[:2]) // 4
        framed = cv2.copyMakeBorder(small, border, border, border, border, cv2.BORDER_CONSTANT, value=(127, 127, 127))
        for picture, offset in ((small, 0), (framed, border)):
            rows = self._network.rows(np.asarray(picture, np.uint8))
            if len(rows):
                best = rows[rows[:, -1].argmax()]
                x, y, width, height = ((best[:4] - [offset, offset, 0, 0]) / scale).round().astype(int)
                landmarks = (best[4:14].reshape(5, 2) - np.float32(offset)) / scale
                return Box(int(x), int(y), int(width), int(height)), landmarks
        return None


def cut(image: Image, sample: Sample, finder: LandmarkFinder | None) -> Region:
    """The region of a sample, scaled to what training can use.

    Raises:
        UsageError: its face box does not lie in the picture.
    """
    check_box(sample, image)
    box = sample.box
    if sample.label == "no_face":
        return _scaled(Region(image, None, None, 0), _LONGEST_SCENE / max(image.shape[:2]))
    if box is None:
        found = finder.find(image) if finder else None
        if found is None:
            return _scaled(Region(image, None, None, 0), _LONGEST_WHOLE / max(image.shape[:2]))
        face, landmarks = found
        region = Region(image, face, landmarks, max(face.width, face.height))
        return _scaled(region, _LONGEST_WHOLE / max(image.shape[:2]))
    side = max(box.width, box.height)
    around = round(side * SURROUNDINGS)
    outer = Box(box.x - around, box.y - around, box.width + 2 * around, box.height + 2 * around)
    kept = outer.clipped(image.shape[1], image.shape[0]) or whole(image)
    part = image[kept.y : kept.y + kept.height, kept.x : kept.x + kept.width]
    inner = Box(box.x - kept.x, box.y - kept.y, box.width, box.height)
    scaled = _scaled(Region(part, inner, None, side), _LONGEST_FACE / side)
    if finder is None or side < 48:
        return scaled
    found = finder.find(scaled.image)
    if found is None or not _same_face(found[0], scaled.face):
        return scaled
    return Region(scaled.image, scaled.box, found[1], side)


def _same_face(a: Box, b: Box) -> bool:
    (ax, ay), (bx, by) = a.centre, b.centre
    return bool(np.hypot(ax - bx, ay - by) < 0.35 * max(b.width, b.height) and a.width > 0.4 * b.width)


def _scaled(region: Region, scale: float) -> Region:
    if scale >= 1:
        return region
    height, width = region.image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = np.asarray(cv2.resize(region.image, size, interpolation=cv2.INTER_AREA), np.uint8)
    box = region.box
    if box is not None:
        box = Box(*(round(value * scale) for value in (box.x, box.y, box.width, box.height)))
        box = Box(box.x, box.y, max(1, box.width), max(1, box.height))
    landmarks = None if region.landmarks is None else (region.landmarks * scale).astype(np.float32)
    return Region(image, box, landmarks, region.face_px)


class RegionFile:
    """Regions of a list of samples in a memory-mapped file; any process may open it and read.

    Raises:
        OSError, EOFError, KeyError, ValueError: a part of it is not there, damaged, or that of another.
    """

    def __init__(self, path: Path) -> None:
        self._pixels = np.load(path.with_suffix(".npy"), mmap_mode="r")
        index = read_arrays(path.with_suffix(".npz"))
        self._shapes, self._offsets = index["shapes"], index["offsets"]
        self._boxes, self._landmarks, self._face_px = index["boxes"], index["landmarks"], index["face_px"]
        if self._shapes.prod(axis=1).sum() * 3 != self._pixels.size:
            raise ValueError("the pixels are not those of the index")

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: int) -> Region:
        height, width = (int(value) for value in self._shapes[index])
        start = int(self._offsets[index])
        image = np.asarray(self._pixels[start : start + height * width * 3]).reshape(height, width, 3)
        corners = [int(value) for value in self._boxes[index]]
        landmarks = self._landmarks[index]
        return Region(
            image,
            Box(*corners) if corners[2] else None,
            None if np.isnan(landmarks).any() else landmarks,
            int(self._face_px[index]),
        )


@dataclass(frozen=True)
class RegionCache:
    """Builds region files once and finds them again by what they hold.

    Args:
        folder: where they are kept.
        landmark_model: a YuNet file that adds boxes and landmarks, or None.
    """

    folder: Path
    landmark_model: Path | None = None

    def prepare(
        self, samples: Sequence[Sample], store: PictureStore, progress: Count = uncounted
    ) -> tuple[list[Sample], Path]:
        """Makes the file if it is not there.

        Args:
            samples: those of one photo should follow one another, so that it is decoded once.
            store: reads their pictures.
            progress: told how many samples are done.

        Returns:
            The samples that could be read, and the path for `RegionFile`, whose regions are in the same order; there is
            no such file if none could be read.
        """
        path = self.folder / self._key(samples, store)
        # Two trainings that begin at once need the same file: one makes it, the other waits for it.
        with taking_turns(self.folder):
            kept = _kept(path)
            if kept is None or self._mended(samples, kept, store):
                kept = self._build(path, samples, store, progress)
        return [samples[index] for index in kept], path

    @staticmethod
    def _mended(samples: Sequence[Sample], kept: Sequence[int], store: PictureStore) -> bool:
        """Whether a picture that was left out can be read by now."""
        left_out = set(range(len(samples))) - set(kept)
        return any(store.readable(samples[index].path) for index in left_out)

    def _key(self, samples: Sequence[Sample], store: PictureStore) -> str:
        """Two data sets may have pictures of the same names, and one may have others today than it had yesterday."""
        finder = hashlib.sha256(self.landmark_model.read_bytes()).hexdigest() if self.landmark_model else ""
        digest = hashlib.sha256(f"{_FORMAT} {finder}".encode())
        for sample in samples:
            digest.update(f"{sample.path} {store.stamp(sample.path)} {sample.box} {sample.label}\n".encode())
        return f"regions-{digest.hexdigest()[:16]}"

    def _build(self, path: Path, samples: Sequence[Sample], store: PictureStore, progress: Count) -> list[int]:
        finder = LandmarkFinder(self.landmark_model) if self.landmark_model else None
        regions, kept = [], []
        image: Image | None = None
        image_path = ""
        for index, sample in enumerate(samples):
            progress(index, len(samples))
            try:
                if image is None or sample.path != image_path:
                    image, image_path = store.image(sample.path), sample.path
                regions.append(cut(image, sample, finder))
                kept.append(index)
            except ImageError:
                image = None  # Left out of `kept`: the caller sees how many, `inspect` says which and why.
        progress(len(samples), len(samples))
        if not regions:
            return []
        _write(path, regions)
        # Last: whoever finds this file finds the other two complete.
        with replacing(path.with_suffix(".json")) as draft:
            draft.write_text(json.dumps({"kept": kept}))
        return kept


def _kept(path: Path) -> list[int] | None:
    """Which samples a region file holds; None if it is not there, or damaged, as after a power cut."""
    if not all(path.with_suffix(suffix).is_file() for suffix in (".json", ".npy", ".npz")):
        return None
    try:
        kept = json.loads(path.with_suffix(".json").read_text())["kept"]
        # Strict: as many as there are regions.
        return [int(index) for index, _ in zip(kept, range(len(RegionFile(path))), strict=True)]
    except (OSError, EOFError, KeyError, TypeError, ValueError) as error:
        log.warning("%s.npy, .npz or .json is damaged, and all are made again: %s", path, error)
        return None


def _write(path: Path, regions: Sequence[Region]) -> None:
    sizes = [region.image.size for region in regions]
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    header = {"descr": "|u1", "fortran_order": False, "shape": (sum(sizes),)}
    # Not through a memory map: where the disk is full, that ends the process without a word.
    with replacing(path.with_suffix(".npy")) as draft, draft.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for region in regions:
            file.write(region.image.tobytes())
    boxes = [(b.x, b.y, b.width, b.height) if (b := region.box) else (0, 0, 0, 0) for region in regions]
    unknown = np.full((5, 2), np.nan, np.float32)
    with replacing(path.with_suffix(".npz")) as draft:
        np.savez(
            draft,
            shapes=np.array([region.image.shape[:2] for region in regions], np.int32),
            offsets=offsets,
            boxes=np.array(boxes, np.int32),
            landmarks=np.array([unknown if r.landmarks is None else r.landmarks for r in regions], np.float32),
            face_px=np.array([region.face_px for region in regions], np.int32),
        )
