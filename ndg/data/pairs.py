"""Sentence pairs for inference: SNLI, AllNLI, MQNLI, SICK."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from ndg.config import Data
from ndg.data import text_files, text_splits
from ndg.data.examples import SPLITS, Pool
from ndg.data.text_files import Row
from ndg.data.text_splits import Part
from ndg.errors import DataError

CLASSES = ("entailment", "neutral", "contradiction")
NUMBERS = {name: number for number, name in enumerate(CLASSES)}
NO_MAJORITY = "-"
COLUMNS = ("sentence1", "sentence2", "gold_label")

SNLI_FILES = {"train": "snli_1.0_train.jsonl", "validation": "snli_1.0_dev.jsonl", "test": "snli_1.0_test.jsonl"}
SNLI = ("|".join(SNLI_FILES.values()),)

ALLNLI_FILES = ("AllNLI.tsv.gz", "AllNLI.tsv")
ALLNLI_COLUMNS = ("split", "dataset", "filename", "sentence1", "sentence2", "label")
MULTINLI_FILES = {
    "train": "multinli_1.0_train.jsonl",
    "validation": "multinli_1.0_dev_matched.jsonl",
    "test": "multinli_1.0_dev_mismatched.jsonl",
}
ALLNLI = ("|".join((*ALLNLI_FILES, MULTINLI_FILES["train"])),)

MQNLI_FILES = {
    "train": ("train.jsonl", "mqnli.train.txt", "multiplyquantified.train"),
    "validation": ("dev.jsonl", "mqnli.dev.txt", "multiplyquantified.val"),
    "test": ("test.jsonl", "mqnli.test.txt", "multiplyquantified.test"),
}
MQNLI = ("|".join(MQNLI_FILES["train"]),)

SICK_FILES = {"train": "SICK_train.txt", "validation": "SICK_trial.txt", "test": "SICK_test_annotated.txt"}
SICK = tuple(SICK_FILES.values())
SICK_COLUMNS = ("pair_ID", "sentence_A", "sentence_B", "relatedness_score", "entailment_judgment")


def snli(folder: Path, settings: Data) -> Pool:
    """Pairs about captions of photographs (Bowman et al. 2015).

    Any of the three files is enough. Pairs without a majority label ("-") are left out.
    """
    paths = text_splits.present(folder, SNLI_FILES)
    columns = (*COLUMNS, "pairID")
    parts = {
        split: _collect(text_files.unique(text_files.objects(path, columns), "pairID")) for split, path in paths.items()
    }
    return text_splits.assemble("snli", parts, CLASSES, list(paths.values()))


def allnli(folder: Path, settings: Data) -> Pool:
    """SNLI and MultiNLI (Williams et al. 2018), as sentence-transformers publishes them.

    The files of both corpora, side by side, are read as well: the matched pairs of MultiNLI are for validation and the
    mismatched ones for the test, as in the single file.
    """
    single = next((folder / name for name in ALLNLI_FILES if (folder / name).is_file()), None)
    if single is not None:
        return text_splits.assemble("allnli", _one_file(single), CLASSES, [single])
    corpora = [text_splits.present(folder, files) for files in (SNLI_FILES, MULTINLI_FILES)]
    if "train" not in corpora[0]:
        raise DataError(
            f"AllNLI must be {ALLNLI_FILES[0]}, or SNLI and MultiNLI side by side; {folder} has "
            f"{MULTINLI_FILES['train']} without {SNLI_FILES['train']}; copy that as well"
        )
    parts = {}
    for split in SPLITS:
        if split_paths := [paths[split] for paths in corpora if split in paths]:
            parts[split] = _collect(chain.from_iterable(text_files.objects(path, COLUMNS) for path in split_paths))
    return text_splits.assemble("allnli", parts, CLASSES, [path for paths in corpora for path in paths.values()])


def mqnli(folder: Path, settings: Data) -> Pool:
    """Pairs with quantifiers, labelled by logic (Geiger et al. 2019).

    The authors publish a program and no files. It writes `multiplyquantified.train`, `.val` and `.test`, with a JSON
    object of `sentence1`, `sentence2` and `gold_label` per line; their later code reads such files as
    `mqnli.train.txt`, `.dev.txt` and `.test.txt`. `train.jsonl`, `dev.jsonl` and `test.jsonl` are read too. Each
    sentence has nine words, with `emptystring` for an empty place, such as an adverb's. The labels of compound
    sentences (`entails`, `permits`, `contradicts`) count as the same classes.
    """
    paths: dict[str, Path] = {}
    for split, names in MQNLI_FILES.items():
        if path := next((folder / name for name in names if (folder / name).is_file()), None):
            paths[split] = path
    numbers = NUMBERS | {"entails": 0, "permits": 1, "contradicts": 2}
    parts = {
        split: text_splits.collect(text_files.objects(path, COLUMNS), COLUMNS, numbers) for split, path in paths.items()
    }
    return text_splits.assemble("mqnli", parts, CLASSES, list(paths.values()))


def sick(folder: Path, settings: Data) -> Pool:
    """Pairs about captions of photographs and videos (Marelli et al. 2014)."""
    _, first, second, _, label = SICK_COLUMNS
    numbers = {name.upper(): number for name, number in NUMBERS.items()}
    paths = {split: folder / file for split, file in SICK_FILES.items()}
    parts = {
        split: text_splits.collect(
            text_files.unique(text_files.tabbed(path, SICK_COLUMNS), SICK_COLUMNS[0]), (first, second, label), numbers
        )
        for split, path in paths.items()
    }
    return text_splits.assemble("sick", parts, CLASSES, list(paths.values()))


def _collect(rows: Iterator[Row]) -> Part:
    return text_splits.collect(rows, COLUMNS, NUMBERS, without=NO_MAJORITY)


def _one_file(path: Path) -> dict[str, Part]:
    """Splits of the single AllNLI file, whose rows may have any order."""
    known = dict(zip(("train", "dev", "test"), range(len(SPLITS)), strict=True))
    numbers: list[int] = []

    def numbered_rows() -> Iterator[Row]:
        for row in text_files.tabbed(path, ALLNLI_COLUMNS):
            numbers.append(row.label("split", known))
            yield row

    whole = text_splits.collect(numbered_rows(), ("sentence1", "sentence2", "label"), NUMBERS)
    split_numbers = np.array(numbers, np.int8)
    chosen = {split: np.flatnonzero(split_numbers == split_number) for split_number, split in enumerate(SPLITS)}
    return {split: whole[chosen[split]] for split in SPLITS if len(chosen[split])}
