"""Windows and pasting: the boxes must go where the pixels go."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.vision.geometry import overlaps
from train.detector.boxes import BARE, GUESSED, MASK
from train.detector.feeder import MAX_FACES, batch_of
from train.detector.light import disturb
from train.detector.material import Material, patch_without_face
from train.detector.mix import Mix
from train.detector.paste import Cutout, Place, oval, paste, swap
from train.detector.sampler import Sampler
from train.detector.scene import FACE, IGNORE, Scene, View, keep_visible, window


def _scene(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (200, 160)) -> Scene:
    """A black picture with a white ellipse in each box."""
    import cv2

    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    for left, top, width, height in boxes:
        middle = (left + width // 2, top + height // 2)
        cv2.ellipse(pixels, middle, (width // 2, height // 2), 0, 0, 360, (255, 255, 255), -1)
    count = len(boxes)
    return Scene(pixels, np.array(boxes, np.float32).reshape(-1, 4), np.full(count, FACE), np.full(count, MASK))


def _white(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The box round everything white."""
    rows, columns = np.nonzero(pixels[..., 0] > 127)
    left, top = columns.min(), rows.min()
    return np.array([[left, top, columns.max() - left + 1, rows.max() - top + 1]], np.float32)


@pytest.mark.parametrize(
    "view",
    [
        View((100, 80), 1.0),
        View((90, 85), 1.7),
        View((100, 80), 0.4),
        View((100, 80), 1.0, mirrored=True),
        View((100, 80), 1.2, degrees=30),
        View((95, 75), 0.9, degrees=-25, mirrored=True),
    ],
    ids=["as it is", "enlarged", "shrunk in two steps", "mirrored", "turned", "turned and mirrored"],
)
def test_boxes_follow_the_pixels(view: View) -> None:
    seen = window(_scene((70, 50, 50, 70)), view, (192, 192), background=0)
    assert overlaps(seen.boxes, _white(seen.pixels))[0, 0] > 0.9


def _off(pixels: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far the light of a picture lies from the middle of a box, in x and in y; pixel i reaches from i to i + 1."""
    light = pixels[..., 0].astype(np.float64)
    y, x = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5
    return np.array([(x * light).sum(), (y * light).sum()]) / light.sum() - (box[:2] + box[2:] / 2)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("scale", [0.15, 0.3, 1.0, 3.0])
def test_boxes_lie_on_the_pixels_to_a_tenth_of_one(scale: float, mirrored: bool) -> None:
    scene = _scene((90, 70, 21, 21))
    seen = window(scene, View((100.3, 80.2), scale, mirrored=mirrored), (192, 160), background=0)

    assert np.abs(_off(seen.pixels, seen.boxes[0])).max() < 0.1


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size", [9.0, 24.0, 61.0, 90.0])
def test_a_pasted_face_lies_in_its_box_to_a_tenth_of_a_pixel(size: float, mirrored: bool) -> None:
    scene = paste(_scene(), _cutout(), Place((100.4, 80.3), size, mirrored=mirrored))

    assert np.abs(_off(scene.pixels, scene.boxes[0])).max() < 0.1


def test_a_face_that_another_hides_is_not_asked_for() -> None:
    scene = paste(_scene((85, 65, 30, 30)), _cutout(), Place((100, 80), 60))
    assert scene.roles.tolist() == [IGNORE, FACE]

    beside = paste(_scene((85, 65, 30, 30)), _cutout(), Place((140, 80), 60))
    assert beside.roles.tolist() == [FACE, FACE]


@pytest.mark.parametrize(
    ("box", "role"),
    [((10, 10, 30, 30), FACE), ((-12, 10, 40, 40), FACE), ((-24, 10, 40, 40), IGNORE), ((10, 10, 4, 4), IGNORE)],
    ids=["whole", "a third cut off", "more than half cut off", "too small"],
)
def test_cut_and_tiny_faces_are_not_asked_for(box: tuple[int, int, int, int], role: int) -> None:
    scene = Scene(np.zeros((100, 100, 3), np.uint8), np.array([box], np.float32), np.array([FACE]), np.array([BARE]))
    assert keep_visible(scene).roles.tolist() == [role]


def test_a_face_outside_is_dropped() -> None:
    scene = Scene(np.zeros((9, 9, 3), np.uint8), np.array([[20, 0, 9, 9]], np.float32), np.array([FACE]), np.array([0]))
    assert len(keep_visible(scene).boxes) == 0


def _cutout(kind: int | None = BARE) -> Cutout:
    """A white oval of 60 x 80 in a cut-out of 100 x 120."""
    box = np.array([20, 20, 60, 80], np.float32)
    return Cutout(np.full((120, 100, 3), 255, np.uint8), oval((120, 100), box), box, kind)


@pytest.mark.parametrize("size", [12.0, 40.0, 90.0])
@pytest.mark.parametrize("degrees", [0.0, 25.0])
def test_a_pasted_face_has_its_box(size: float, degrees: float) -> None:
    scene = paste(_scene(), _cutout(), Place((100, 80), size, degrees))
    assert scene.kinds.tolist() == [BARE]
    # The oval reaches beyond the box by the hair: shrink what is white by that.
    white = _white(scene.pixels)
    assert overlaps(scene.boxes, white)[0, 0] > 0.6
    assert np.abs(scene.boxes[0, :2] + scene.boxes[0, 2:] / 2 - (100, 80)).max() < 1


def test_a_patch_without_a_face_adds_no_box() -> None:
    scene = paste(_scene(), _cutout(None), Place((100, 80), 40))
    assert len(scene.boxes) == 0
    assert scene.pixels.max() == 255


def test_pasting_leaves_the_original_alone() -> None:
    scene = _scene()
    paste(scene, _cutout(), Place((100, 80), 40))
    assert scene.pixels.max() == 0


def test_a_swapped_face_takes_the_place_of_the_masked_one() -> None:
    before = _scene((70, 50, 50, 70), (10, 10, 20, 20))
    after = swap(before, 0, _cutout(), 0.0, mirrored=True)
    assert sorted(after.kinds.tolist()) == [MASK, BARE]
    swapped = after.boxes[after.kinds == BARE]
    assert overlaps(swapped, before.boxes[:1])[0, 0] > 0.9


def _sampler(size: int = 128) -> Sampler:
    scenes = [_scene((70, 50, 50, 70), (10, 10, 20, 20)), _scene((30, 30, 80, 90))]
    box = np.array([20, 20, 60, 80], np.float32)
    head = Cutout(np.full((120, 100, 3), 90, np.uint8), oval((120, 100), box), box, BARE)
    material = Material(scenes, [_scene()], [_cutout(BARE), _cutout(MASK)], [head])
    return Sampler(material, size, np.random.default_rng(3), Mix(), [_cutout(None)])


def test_every_drawn_picture_is_sound() -> None:
    sampler = _sampler()
    drawn = [sampler.draw() for _ in range(60)]
    for scene in drawn:
        assert scene.pixels.shape == (128, 128, 3)
        assert scene.pixels.dtype == np.uint8
        assert len(scene.boxes) == len(scene.roles) == len(scene.kinds)
        assert (scene.boxes[:, :2] >= -1e-3).all()
        assert (scene.boxes[:, :2] + scene.boxes[:, 2:] <= 128 + 1e-3).all()
    assert any((scene.kinds[scene.roles == FACE] == BARE).any() for scene in drawn)
    assert any(not len(scene.boxes) for scene in drawn)


@pytest.mark.parametrize(("swapped", "kind"), [(0.0, GUESSED), (1.0, MASK)])
def test_bare_faces_of_photos_that_nobody_boxed_may_give_way_to_masked_ones(swapped: float, kind: int) -> None:
    boxed = _scene((70, 50, 50, 70))
    unboxed = Scene(boxed.pixels, boxed.boxes, boxed.roles, np.array([GUESSED]))
    material = Material([boxed], [_scene()], [_cutout(BARE), _cutout(MASK)], [_cutout(BARE)], unboxed=[unboxed])
    mix = Mix(mosaic=0, heads=0, close=0, empty=0, coarse=0, hidden=0, swapped=swapped, unboxed=1)
    drawn = [Sampler(material, 128, np.random.default_rng(seed), mix).draw() for seed in range(20)]
    assert {int(each) for scene in drawn for each in scene.kinds[scene.roles == FACE]} == {kind}


def test_photos_that_nobody_boxed_have_their_share_of_the_windows() -> None:
    boxed, unboxed = _scene((70, 50, 50, 70)), _scene((70, 50, 50, 70))
    unboxed.pixels[:] = 200
    material = Material([boxed], [_scene()], [_cutout(BARE), _cutout(MASK)], [_cutout(BARE)], unboxed=[unboxed])
    mix = Mix(mosaic=0, heads=0, close=0, empty=0, coarse=0, hidden=0, swapped=0, unboxed=0.25)
    sampler = Sampler(material, 64, np.random.default_rng(5), mix)
    bright = [bool((sampler.draw().pixels == 200).mean() > 0.2) for _ in range(400)]
    assert 0.19 < np.mean(bright) < 0.31


def test_the_same_seed_draws_the_same_pictures() -> None:
    one, two = (_sampler().draw() for _ in range(2))
    assert np.array_equal(one.pixels, two.pixels)


def test_a_batch_keeps_the_largest_faces_and_ignores_the_rest() -> None:
    boxes = np.array([[0, 0, 6 + i, 6 + i] for i in range(MAX_FACES + 5)], np.float32)
    scene = Scene(np.zeros((64, 64, 3), np.uint8), boxes, np.full(len(boxes), FACE), np.zeros(len(boxes), np.int64))
    batch = batch_of([scene])
    assert batch.faces[0, 0].tolist() == boxes[-1].tolist()
    assert (batch.faces[0, :, 2] > 0).all()
    assert int((batch.ignored[0, :, 2] > 0).sum()) == 5


def test_a_box_that_the_teacher_alone_has_drawn_is_not_to_be_learned() -> None:
    boxes = np.array([[0, 0, 9, 9], [20, 20, 30, 30]], np.float32)
    batch = batch_of([Scene(np.zeros((64, 64, 3), np.uint8), boxes, np.full(2, FACE), np.array([BARE, GUESSED]))])
    assert batch.faces[0, :2, 2].tolist() == [30, 9]  # the largest comes first
    assert batch.framed[0, :2].tolist() == [0, 1]


def test_batches_are_rgb() -> None:
    scene = Scene(np.full((32, 32, 3), (255, 0, 0), np.uint8), *(np.zeros(s) for s in ((0, 4), 0, 0)))  # type: ignore[arg-type]
    assert batch_of([scene]).pixels[0, 0, 0].tolist() == [0, 0, 255]


def test_patches_without_a_face_meet_no_box() -> None:
    scene = _scene((60, 40, 60, 80))
    rng = np.random.default_rng(0)
    patches = [patch_without_face(scene, rng) for _ in range(30)]
    assert any(patch is not None for patch in patches)
    assert all(patch.pixels.max() == 0 for patch in patches if patch is not None)


def test_light_changes_keep_shape_and_leave_the_original_alone() -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 48, 3)).astype(np.uint8)
    copy = image.copy()
    for seed in range(40):
        changed = disturb(image, np.random.default_rng(seed))
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8
    assert np.array_equal(image, copy)
