"""Single texts: SST-2, sentiment of sentences, and Devign, vulnerable C functions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ndg.config import Data
from ndg.data import text_files, text_splits
from ndg.data.examples import Pool
from ndg.data.text_files import Row
from ndg.data.text_splits import Part

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

    def rows(path: Path) -> Iterator[Row]:
        return text_files.unique(text_files.objects(path, (*DEVIGN_COLUMNS, "idx")), "idx")

    paths = text_splits.present(folder, DEVIGN_FILES)
    return text_splits.read("devign", paths, rows, DEVIGN_COLUMNS, VULNERABLE, BINARY, cased=True)
