"""Published texts: SST-2 and Devign, and the sentence pairs of SNLI, AllNLI, MQNLI and SICK."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from ndg.config import Data
from ndg.data import text_files, text_splits
from ndg.data.examples import SPLITS, Pool
from ndg.data.text_files import Row
from ndg.data.text_splits import Part
from ndg.errors import DataError

SST2 = ("train.tsv", "dev.tsv")
SST2_FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
SST2_COLUMNS = ("sentence", "label")
UNLABELLED = ("index", "sentence")
FEELINGS = ("negative", "positive")
BINARY = {"0": 0, "1": 1}

DEVIGN_FILES = {"train": "train.jsonl", "validation": "valid.jsonl", "test": "test.jsonl"}
DEVIGN = ("|".join(DEVIGN_FILES.values()),)
DEVIGN_COLUMNS = ("func", "target")
VULNERABLE = ("non-vulnerable", "vulnerable")

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


def sst2(folder: Path, settings: Data) -> Pool:
    """Whole sentences of film reviews (Socher et al. 2013), lower case, or the GLUE files.

    Those (Wang et al. 2018) have a header, phrases in the training set, and no labels in the test set.
    """
    parts: dict[str, Part] = {}
    glue = False
    paths = text_splits.present(folder, SST2_FILES)
    for split, path in list(paths.items()):
        first = next(text_files.lines(path), "")
        if split == "test" and first == "\t".join(UNLABELLED):
            del paths[split]
        else:
            header = first == "\t".join(SST2_COLUMNS)
            parts[split] = text_splits.collect(text_files.tabbed(path, SST2_COLUMNS, header), SST2_COLUMNS, BINARY)
            glue = glue or header
    notes = ["in the layout of GLUE"] if glue else []
    notes += [] if "test" in parts else ["no labelled test set of the publisher"]
    release = "sst2 of GLUE" if glue else "sst2"
    return text_splits.assemble("sst2", parts, FEELINGS, list(paths.values()), *notes, release=release)


def devign(folder: Path, settings: Data) -> Pool:
    """C functions of FFmpeg and QEMU (Zhou et al. 2019), with the splits of CodeXGLUE.

    A line is a JSON object with `func`, `target` (1: vulnerable) and `idx`; any of the three files is enough.
    """
    paths = text_splits.present(folder, DEVIGN_FILES)
    return text_splits.read("devign", paths, DEVIGN_COLUMNS, VULNERABLE, BINARY, key="idx", cased=True)


def snli(folder: Path, settings: Data) -> Pool:
    """Pairs about captions of photographs (Bowman et al. 2015), without those of no majority label."""
    paths = text_splits.present(folder, SNLI_FILES)
    return text_splits.read("snli", paths, COLUMNS, CLASSES, NUMBERS, key="pairID", without=NO_MAJORITY)


def allnli(folder: Path, settings: Data) -> Pool:
    """SNLI and MultiNLI (Williams et al. 2018), in one file or as their own files side by side."""
    if single := text_splits.present(folder, {"all": ALLNLI_FILES}).get("all"):
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
            rows = chain.from_iterable(text_files.objects(path, COLUMNS) for path in split_paths)
            parts[split] = text_splits.collect(rows, COLUMNS, NUMBERS, without=NO_MAJORITY)
    return text_splits.assemble("allnli", parts, CLASSES, [path for paths in corpora for path in paths.values()])


def mqnli(folder: Path, settings: Data) -> Pool:
    """Pairs with quantifiers, labelled by logic (Geiger et al. 2019).

    The authors' program writes `multiplyquantified.train`, `.val` and `.test`, with a JSON object of `sentence1`,
    `sentence2` and `gold_label` per line; `mqnli.train.txt` and `train.jsonl` are read too. The labels of compound
    sentences (`entails`, `permits`, `contradicts`) count as the same classes.
    """
    numbers = NUMBERS | {"entails": 0, "permits": 1, "contradicts": 2}
    return text_splits.read("mqnli", text_splits.present(folder, MQNLI_FILES), COLUMNS, CLASSES, numbers)


def sick(folder: Path, settings: Data) -> Pool:
    """Pairs about captions of photographs and videos (Marelli et al. 2014)."""
    key, first, second, _, label = SICK_COLUMNS
    numbers = {name.upper(): number for name, number in NUMBERS.items()}
    columns = (first, second, label)

    def rows(path: Path, fields: Sequence[str]) -> Iterator[Row]:
        return text_files.tabbed(path, SICK_COLUMNS)

    return text_splits.read(
        "sick", text_splits.present(folder, SICK_FILES), columns, CLASSES, numbers, key=key, rows=rows
    )


def _one_file(path: Path) -> dict[str, Part]:
    """Splits of the single AllNLI file, whose rows may have any order."""
    known = {"train": 0, "dev": 1, "test": 2}
    numbers: list[int] = []

    def numbered_rows() -> Iterator[Row]:
        for row in text_files.tabbed(path, ALLNLI_COLUMNS):
            numbers.append(row.label("split", known))
            yield row

    whole = text_splits.collect(numbered_rows(), ("sentence1", "sentence2", "label"), NUMBERS)
    chosen = {split: np.flatnonzero(np.array(numbers, np.int8) == place) for place, split in enumerate(SPLITS)}
    return {split: whole[rows] for split, rows in chosen.items() if len(rows)}
