"""Small text files for tests, and the real ones if at hand."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ndg.config import Data
from ndg.data import corpora, texts

ROOT = Path(__file__).parents[2]
READ = {
    "sst2": corpora.sst2,
    "devign": corpora.devign,
    "snli": corpora.snli,
    "allnli": corpora.allnli,
    "mqnli": corpora.mqnli,
    "sick": corpora.sick,
    "texts": texts.read,
}


def read(name, folder, **settings):
    return READ[name](folder, Data(name=name, dir=str(folder), **settings))


def put(folder, **files):
    """Write files by name, with `__` for a dot."""
    for name, content in files.items():
        content = "".join(line + "\n" for line in content) if isinstance(content, list) else content
        path = folder / name.replace("__", ".")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def dumped(*rows, **more):
    return [json.dumps(row | more) for row in rows]


def pair(label, first="A man runs.", second="A man moves.", **more):
    return {"gold_label": label, "sentence1": first, "sentence2": second, **more}


def real(*places):
    """First of these folders in `NDG_DATA` or `shared/data`, or a skip."""
    above = [Path(os.environ["NDG_DATA"])] if os.environ.get("NDG_DATA") else []
    for folder in [*above, ROOT.parent / "shared" / "data"]:
        for place in places:
            if (folder / place).is_dir():
                return folder / place
    pytest.skip(f"no folder {' or '.join(places)} in NDG_DATA or in ../shared/data")


def counts(pool):
    return [np.bincount(pool.labels[pool.parts == part], minlength=len(pool.class_names)).tolist() for part in range(3)]
