from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support.drawn import face_region
from train.augment.keras_style import KerasRanges
from train.batches import BatchHelper
from train.dataset import open_dataset
from train.recipes import BalancedRecipe, PlainRecipe, target_of
from train.regions import RegionCache
from train.sampling import SHARES, Stratum
from train.views import squashed

LABELS = ("mask", "no_mask", "not_a_face")


@pytest.fixture(scope="module")
def plain(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PlainRecipe:
    dataset = open_dataset(tiny_folder)
    kept, path = RegionCache(tmp_path_factory.mktemp("cache")).prepare(dataset.samples, dataset.store())
    return PlainRecipe(kept, path, ("mask", "no_mask"), 32, 10, 1, KerasRanges(rotation=10, flip=0.5))


@pytest.fixture(scope="module")
def balanced(plain: PlainRecipe) -> BalancedRecipe:
    return BalancedRecipe(plain.samples, plain.regions, LABELS, 32, 16, 4, 1)


def test_the_same_epoch_and_step_give_the_same_batch(balanced: BalancedRecipe) -> None:
    (first, targets), (again, targets_again) = balanced.batch(2, 3), pickle.loads(pickle.dumps(balanced)).batch(2, 3)  # noqa: S301
    assert np.array_equal(first, again)
    assert np.array_equal(targets, targets_again)
    assert first.shape == (16, 32, 32, 3)
    assert not np.array_equal(first, balanced.batch(2, 2)[0])


def test_a_data_set_of_portraits_and_crops_gives_both_labels_as_often_as_one_of_every_stratum(
    balanced: BalancedRecipe,
) -> None:
    targets = np.concatenate([balanced.batch(0, step)[1] for step in range(20)])
    assert (targets == 0).mean() == pytest.approx(0.45 / 0.95, abs=0.06)


def test_neither_label_owns_the_draws() -> None:
    masks = {Stratum.MASK_CROP, Stratum.MASK_BOXED, Stratum.MASK_DRAWN, Stratum.SYNTHETIC_MASK}
    share = sum(SHARES[stratum] for stratum in masks)
    assert 0.4 < share < 0.5
    assert sum(SHARES.values()) - share - SHARES[Stratum.NOT_A_FACE] == pytest.approx(0.5, abs=0.05)


def test_the_plain_recipe_shows_every_file_once_an_epoch(plain: PlainRecipe) -> None:
    targets = np.concatenate([plain.batch(0, step)[1] for step in range(plain.steps)])
    assert len(targets) == 56
    assert targets.sum() == 28


def test_worn_badly_is_trained_as_no_mask() -> None:
    assert [target_of(label, LABELS) for label in ("mask", "no_mask", "incorrect", "no_face")] == [0, 1, 1, 2]
    with pytest.raises(ValueError, match="no place for no_face"):
        target_of("no_face", ("mask", "no_mask"))


def test_strata_that_the_set_does_not_have_are_left_out(balanced: BalancedRecipe) -> None:
    drawn = {balanced._sampler.draw(np.random.default_rng(n)).stratum for n in range(50)}
    assert drawn == {Stratum.MASK_CROP, Stratum.BARE_ALIGNED}


def test_a_squashed_picture_is_red_green_blue() -> None:
    region = face_region(masked=True)
    assert squashed(region.image, 96)[75, 48].tolist() == region.image[75, 48][::-1].tolist()


def test_the_helper_process_gives_the_batches_in_order(plain: PlainRecipe) -> None:
    with BatchHelper(plain, first_epoch=4) as helper:
        batches = list(helper.epoch())
    assert len(batches) == plain.steps
    assert np.array_equal(batches[1][0], plain.batch(4, 1)[0])


def test_an_error_in_the_helper_process_is_raised_here(plain: PlainRecipe, tmp_path: Path) -> None:
    broken = PlainRecipe(plain.samples, tmp_path / "gone", plain.labels, 32, 10, 1, KerasRanges())
    with BatchHelper(broken) as helper, pytest.raises(RuntimeError, match="could not be made"):
        next(helper.epoch())


def test_the_helper_process_ends_when_its_trainer_is_killed(plain: PlainRecipe, tmp_path: Path) -> None:
    """Its queue is full by then, and nobody reads it."""
    (tmp_path / "recipe").write_bytes(pickle.dumps(plain))
    code = (
        "import multiprocessing, pickle, sys, time\n"
        "from train.batches import BatchHelper\n"
        "if __name__ == '__main__':\n"
        "    with BatchHelper(pickle.loads(open(sys.argv[1], 'rb').read())) as helper:\n"
        "        next(helper.epoch())\n"
        "        print(multiprocessing.active_children()[0].pid, flush=True)\n"
        "        time.sleep(60)\n"
    )
    (tmp_path / "trainer.py").write_text(code)
    with subprocess.Popen(
        [sys.executable, tmp_path / "trainer.py", tmp_path / "recipe"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as trainer:
        assert trainer.stdout is not None
        helper = int(trainer.stdout.readline())
        trainer.kill()
    deadline = time.monotonic() + 30
    while _runs(helper) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not _runs(helper)


def _runs(process: int) -> bool:
    """False for a zombie, too: not every system's first process takes them away."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_without_a_bare_face_whose_landmarks_are_known_no_nose_is_revealed(balanced: BalancedRecipe) -> None:
    recipe = replace(balanced, shares={Stratum.REVEALED: 0.9, Stratum.MASK_CROP: 0.1})
    recipe.__dict__["_bare"], recipe.__dict__["_frontal_masks"] = [], [0]
    rng = np.random.default_rng(1)
    assert {recipe._sampler.draw(rng).stratum for _ in range(20)} == {Stratum.MASK_CROP}
