"""A second opinion on the training pictures: YuNet at several sizes, once, kept on disk.

Annotators leave faces out (about one in six that YuNet sees is nobody's box), face crops have no box, and photos that
are said to be free of faces may not be. The teacher's file is not ours to ship, but what it sees may label our data
(Wu, Peng, Yu: YuNet, 2023, doi:10.1007/s11633-023-1423-y).
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.yunet import Yunet
from train.arrays import read_arrays
from train.files import replacing, taking_turns

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edge.vision.geometry import Image

log = logging.getLogger(__name__)

CACHE_FOLDER: Final = "detector-cache"
"""Where the answers are kept, beside the runs that need them."""

LONG_SIDES: Final = (480, 640, 960)
"""The teacher looks at each photo at these sizes, in pixels; small photos are enlarged, which finds small faces."""

_MIN_SCORE: Final = 0.3
_NMS_IOU: Final = 0.45
_MAX_FACES: Final = 2000

_KEPT_EVERY: Final = 200
"""New answers after which the cache is written; to give as many takes about a minute."""


class Picture(Protocol):
    """Something with a name, a file and pixels: a photo or a face crop."""

    @property
    def name(self) -> str: ...

    @property
    def jpeg(self) -> bytes: ...

    def pixels(self) -> Image:
        """BGR."""
        ...


class Teacher:
    """YuNet through OpenCV, asked at several sizes.

    Args:
        model: the .onnx file.
    """

    def __init__(self, model: Path) -> None:
        self._network = Yunet(model, _MIN_SCORE, _NMS_IOU, _MAX_FACES)

    def look(self, image: Image, long_sides: tuple[int, ...] = LONG_SIDES) -> NDArray[np.float32]:
        """Finds faces.

        Args:
            image: BGR.
            long_sides: sizes to look at, in pixels.

        Returns:
            Shape (n, 5): left, top, width, height in pixels of the image, and the mean over the sizes of the score that
            a face got (0 where it was not seen): a face that is seen once only is a doubtful one.
        """
        found = [self._at(image, side) for side in long_sides]
        rows = np.concatenate(found)
        if not len(rows):
            return rows
        order = cv2.dnn.NMSBoxes(rows[:, :4].tolist(), rows[:, 4].tolist(), _MIN_SCORE, _NMS_IOU)
        kept = rows[np.asarray(order, np.int64).ravel()]
        kept[:, 4] = np.mean([_best_score(kept, each) for each in found], axis=0)
        return kept

    def _at(self, image: Image, long_side: int) -> NDArray[np.float32]:
        height, width = image.shape[:2]
        scale = long_side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        rows = self._network.rows(np.asarray(cv2.resize(image, size, interpolation=method), np.uint8))
        boxes = rows[:, :4] * np.array([width / size[0], height / size[1]] * 2, np.float32)
        return np.concatenate([boxes, rows[:, -1:]], axis=1).astype(np.float32)


def _best_score(kept: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The best score among the rows that overlap each kept box."""
    from edge.vision.geometry import overlaps

    if not len(rows):
        return np.zeros(len(kept), np.float32)
    near = overlaps(kept[:, :4], rows[:, :4]) > _NMS_IOU
    return np.asarray(np.where(near, rows[None, :, 4], 0).max(axis=1), np.float32)


def labels(
    model: Path, pictures: Iterable[Picture], cache: Path, long_sides: tuple[int, ...] = LONG_SIDES
) -> dict[str, NDArray[np.float32]]:
    """What the teacher sees in each picture, from the cache where it has been asked before.

    Args:
        model: the teacher's file; another file or other sizes make another cache.
        pictures: their names are unique; only those that the cache has no answer for are decoded. The cache knows them
            by their bytes: other pictures may have the same names.
        cache: folder for the answers.
        long_sides: see `Teacher.look`.

    Returns:
        The rows of `Teacher.look` by name.
    """
    key = hashlib.sha256(model.read_bytes() + repr((long_sides, _MIN_SCORE)).encode()).hexdigest()[:16]
    path = cache / f"teacher-{key}.npz"
    known, teacher = _kept(path), Teacher(model)
    answers: dict[str, NDArray[np.float32]] = {}
    fresh: dict[str, NDArray[np.float32]] = {}
    for picture in pictures:
        content = hashlib.sha256(picture.jpeg).hexdigest()
        if content not in known:
            known[content] = fresh[content] = teacher.look(picture.pixels(), long_sides)
        answers[picture.name] = known[content]
        if len(fresh) == _KEPT_EVERY:
            _keep(path, fresh)
            fresh = {}
    if fresh:
        _keep(path, fresh)
    return answers


def _kept(path: Path) -> dict[str, NDArray[np.float32]]:
    """What the cache holds; nothing if it is damaged, for all of it can be asked again."""
    if not path.is_file():
        return {}
    try:
        return read_arrays(path)
    except ValueError as error:
        log.warning("%s cannot be read (%s): the teacher is asked again", path, error)
        return {}


def _keep(path: Path, fresh: dict[str, NDArray[np.float32]]) -> None:
    """Adds answers to the cache, and leaves those that another run has added meanwhile."""
    with taking_turns(path.parent), replacing(path) as draft:
        np.savez(draft, **{**_kept(path), **fresh})  # type: ignore[arg-type]
