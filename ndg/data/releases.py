"""Published releases of data sets: checksums, sizes, and the publisher's splits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int8, Int64

from ndg.data.examples import SPLITS, Pool, listed
from ndg.data.inputs import Inputs, Texts, join
from ndg.errors import DataError

MD5: dict[str, dict[str, str]] = {
    "mnist": {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    "cifar10": {
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
    "cifar100": {
        "meta": "7973b15100ade9c7d40fb424638fde48",
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    },
    "cub200": {"CUB_200_2011.tgz": "97eceeb196236b17998738112f37df78"},
}

COUNTS: dict[str, dict[str, int]] = {
    "mnist": {"train": 60_000, "test": 10_000},
    "fashion_mnist": {"train": 60_000, "test": 10_000},
    "cifar10": {"train": 50_000, "test": 10_000},
    "cifar100": {"train": 50_000, "test": 10_000},
    "cifar10_jpeg": {"train": 50_000, "test": 10_000},
    "cub200": {"train": 5_994, "test": 5_794},
    "sst2": {"train": 6_920, "validation": 872, "test": 1_821},
    "sst2 of GLUE": {"train": 67_349, "validation": 872},
    "snli": {"train": 549_367, "validation": 9_842, "test": 9_824},
    "allnli": {"train": 942_069, "validation": 19_657, "test": 19_656},
    "sick": {"train": 4_500, "validation": 500, "test": 4_927},
    "devign": {"train": 21_854, "validation": 2_732, "test": 2_732},
}
"""Number of labelled examples in each release, as its publisher states."""

MARKER = "GENERATED.txt"
"""File that marks a folder of generated files in a publisher's format."""

_, VALIDATION, TEST = range(len(SPLITS))
DIVIDED = "divided here, not comparable with published figures"


def pool(
    name: str,
    inputs: dict[str, Inputs | Texts],
    labels: dict[str, Int64[np.ndarray, " example"]],
    class_names: tuple[str, ...],
    paths: Sequence[Path],
    *notes: str,
    release: str | None = None,
) -> Pool:
    """Pool of the publisher's splits, by name.

    `source` lists their sizes, files, missing classes, the `notes`, and how they differ from the `release` (by default
    that of `name`). Without a training set but with two others, the validation set is trained on; with only one split
    the publisher's division is lost. A class without examples is left out, and the others are renumbered in order.
    Raises DataError for an empty split, and for a file of `paths` that belongs to another data set.
    """
    splits = [split for split in SPLITS if split in inputs]
    for split in splits:
        if not len(labels[split]):
            raise DataError(
                f"the {split} split must have examples; it is empty in {', '.join(map(str, paths))}; "
                f"get a copy with a larger {split} set"
            )
    all_labels = np.concatenate([labels[split] for split in splits])
    sizes = " + ".join(f"{len(labels[split]):,}" for split in splits)
    source = [name, f"{sizes} examples" + (f" ({splits[0]} only)" if len(splits) == 1 else ""), origin(name, paths)]
    present, renumbered = np.unique(all_labels, return_inverse=True)
    if missing := [class_name for label, class_name in enumerate(class_names) if label not in present]:
        source.append(f"without {listed(missing)}")
    source += [*notes, *lacking(release or name, {split: len(labels[split]) for split in splits})]
    numbers = list(map(SPLITS.index, splits))
    if len(splits) > 1 and "train" not in splits:
        numbers[0] = SPLITS.index("train")
        source.append("trained on its validation set")
    parts = np.repeat(np.array(numbers, np.int8), [len(labels[split]) for split in splits])
    division = parts if len(splits) > 1 else None
    return Pool(
        inputs=join([inputs[split] for split in splits]),
        labels=renumbered.astype(np.int64),
        class_names=tuple(class_names[label] for label in present),
        source=", ".join([*source, *divided(division)]),
        parts=division,
    )


def lacking(release: str, sizes: dict[str, int], *more: str) -> list[str]:
    """Clause on splits whose size differs from the release, and `more`, if any."""
    known = COUNTS.get(release, {})
    differences = [
        f"{sizes[split]:,} of {count:,} {split} examples" if sizes.get(split) else f"no {split} set"
        for split, count in known.items()
        if sizes.get(split) != count
    ]
    differences += more
    whole = "" if any(sizes.get(split, 0) > count for split, count in known.items()) else "whole "
    return [f"not the {whole}release ({'; '.join(differences)})"] if differences else []


def divided(parts: Int8[np.ndarray, " example"] | None) -> list[str]:
    """Clauses about a test set drawn here, if the publisher has none."""
    return [] if parts is not None and TEST in parts else [*halved(parts), DIVIDED]


def halved(parts: Int8[np.ndarray, " example"] | None) -> list[str]:
    """Clause about a test set taken from the validation set, if so."""
    cut = parts is not None and VALIDATION in parts and TEST not in parts
    return ["tested on half of its validation set"] if cut else []


def origin(name: str, paths: Sequence[Path]) -> str:
    """Clause on whether files are the publisher's, by their md5 sums."""
    sums = {path: _md5(path) for path in paths}
    for path, md5 in sums.items():
        owners = [dataset for dataset, known in MD5.items() if md5 in known.values()]
        if owners and name not in owners:
            raise DataError(
                f"data set {name!r} must be read from its own files; {path} is the publisher's file of {owners[0]!r}; "
                f"set data.name={owners[0]} or another data.dir"
            )
    known = MD5.get(name, {})
    if any(path.name not in known for path in sums):
        return "in files that have no published sum"
    if any(known[path.name] != md5 for path, md5 in sums.items()):
        return "not the publisher's files"
    return "the publisher's files" if len(sums) == len(known) else "part of the publisher's files"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def check_labels(path: Path, labels: Int64[np.ndarray, " example"], images: int, classes: int) -> None:
    """Raise DataError unless each image has one class from 0."""
    if len(labels) != images:
        raise DataError(
            f"{path} must have one label per image; got {len(labels):,} labels and {images:,} images; "
            "copy the files of one release again"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(
            f"{path} must have labels from 0 to {classes - 1}; got {labels.min()} to {labels.max()}; "
            "set data.name to the data set that the file belongs to, or copy it again"
        )
