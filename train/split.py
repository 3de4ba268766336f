"""Divides samples into train, val and test: seeded, stratified by label, whole groups only.

The order of the groups depends on the seed and their names alone, so that the same data gives the same split in
whatever order it is read, and a split of a split is the same split again.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from edge.errors import ImageError, UsageError
from train.dataset import Dataset
from train.duplicates import Fingerprint, families, fingerprint
from train.progress import Count, uncounted
from train.samples import PARTS, Sample


@dataclass(frozen=True, slots=True)
class Ratios:
    """Shares of the groups, adding up to 1.

    Raises:
        UsageError: one is negative, or they do not add up.
    """

    train: float = 0.8
    val: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        shares = (self.train, self.val, self.test)
        if not (all(share >= 0 for share in shares) and abs(sum(shares) - 1) <= 1e-6):  # NaN is neither.
            raise UsageError(
                f"--ratios {self.train:g} {self.val:g} {self.test:g}: three shares that add up to 1 are needed"
            )


def grouped(dataset: Dataset, progress: Count = uncounted) -> Dataset:
    """Finds the groups of samples that name none: copies and near copies belong together.

    A group that is named stays whole and takes in the copies of its pictures; two that share one become one. Files that
    cannot be read are left out. Clips are not looked at, and where every picture has a group, none is opened.
    """
    if not without_group(dataset.samples):
        return dataset
    kept, prints = _fingerprinted(dataset, progress)
    pictures = [sample for sample in kept if sample.kind != "clip"]
    roots = families(prints, [sample.path for sample in pictures], [sample.group for sample in pictures])
    members: dict[int, list[Sample]] = defaultdict(list)
    for sample, root in zip(pictures, roots, strict=True):
        members[root].append(sample)
    name_of: dict[str, str] = {}
    for family in members.values():
        named = [sample.group for sample in family if _names_group(sample)]
        # By content where nobody named it: the group is the same wherever the data lies.
        name = min(named) if named else f"g{family[0].sha256[:12]}"
        name_of |= dict.fromkeys((sample.group for sample in family), name)
    return replace(dataset, samples=[replace(sample, group=name_of.get(sample.group, sample.group)) for sample in kept])


def without_group(samples: Iterable[Sample]) -> list[Sample]:
    """Those for which copies must be looked for: pictures that name no group."""
    return [sample for sample in samples if sample.kind != "clip" and not _names_group(sample)]


def _names_group(sample: Sample) -> bool:
    return sample.group != sample.path


def _fingerprinted(dataset: Dataset, progress: Count) -> tuple[list[Sample], list[Fingerprint]]:
    """Clips and the pictures that can be read, these with their digest and size; and the prints of the pictures."""
    store = dataset.store()
    kept: list[Sample] = []
    prints: list[Fingerprint] = []
    for number, sample in enumerate(dataset.samples):
        progress(number, len(dataset.samples))
        if sample.kind == "clip":
            kept.append(sample)
            continue
        try:
            data = store.read(sample.path)
            image = store.image(sample.path)
        except ImageError:
            continue  # The caller compares the counts; `inspect` names the files.
        prints.append(fingerprint(data, image))
        kept.append(replace(sample, sha256=prints[-1].sha256, width=int(image.shape[1]), height=int(image.shape[0])))
    progress(len(dataset.samples), len(dataset.samples))
    return kept, prints


def split(samples: Sequence[Sample], ratios: Ratios, seed: int) -> list[Sample]:
    """Draws the parts anew for all samples that take part in any or have none yet.

    Samples of label `drop` stay outside. Groups are dealt out stratum by stratum (the labels in a group), so that every
    part gets its share of each.
    """
    strata: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    labels = _labels_by_group(samples)
    for sample in samples:
        if sample.label != "drop":
            strata["+".join(sorted(labels[sample.group]))][sample.group].append(sample)
    part_of = {group: part for groups in strata.values() for group, part in _dealt(groups, ratios, seed).items()}
    return [replace(sample, split="" if sample.label == "drop" else part_of[sample.group]) for sample in samples]


def _labels_by_group(samples: Iterable[Sample]) -> dict[str, set[str]]:
    labels: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.label != "drop":
            labels[sample.group].add(sample.label)
    return labels


def _dealt(groups: dict[str, list[Sample]], ratios: Ratios, seed: int) -> dict[str, str]:
    """Part of each group: in an order that only the seed and the names decide, cut at the shares."""
    order = sorted(groups, key=lambda group: hashlib.sha256(f"{seed} {group}".encode()).digest())
    count = len(order)
    first, second = round(count * ratios.train), round(count * (ratios.train + ratios.val))
    return {
        group: "train" if place < first else "val" if place < second else "test" for place, group in enumerate(order)
    }


def reshuffled(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Pools a published split and deals it out again in the published proportions, whole groups at a time.

    Raises:
        UsageError: the data has no published split.
    """
    counts = Counter(sample.published_split for sample in samples if sample.published_split in PARTS)
    total = sum(counts.values())
    if not total:
        raise UsageError(
            "--reshuffle: the data has no published split (Train and Validation folders, or a column ref_split)"
        )
    return split(
        [sample for sample in samples if sample.published_split in PARTS],
        Ratios(*(counts[part] / total for part in PARTS)),
        seed,
    )


def as_published(samples: Sequence[Sample]) -> list[Sample]:
    """The split and the labels as the publisher had them, leaks and wrong labels included: only for a comparison.

    Raises:
        UsageError: the data has no published split.
    """
    chosen = [
        replace(sample, split=sample.published_split, label=sample.published_label or sample.label)
        for sample in samples
        if sample.published_split in PARTS
    ]
    if not chosen:
        raise UsageError("--keep-published: the data has no published split")
    return chosen


def leaking_groups(samples: Iterable[Sample]) -> dict[str, set[str]]:
    """Groups that are in more than one part, with their parts."""
    parts: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.split:
            parts[sample.group].add(sample.split)
    return {group: found for group, found in parts.items() if len(found) > 1}


def check_groups(samples: Iterable[Sample]) -> None:
    """Refuses a split with a group on two sides.

    Raises:
        UsageError: there is one; the first few are named.
    """
    leaking = leaking_groups(samples)
    if leaking:
        first = ", ".join(f"{group} ({' and '.join(sorted(parts))})" for group, parts in sorted(leaking.items())[:5])
        raise UsageError(f"{len(leaking)} groups are on two sides of the split: {first}")
