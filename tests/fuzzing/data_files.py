"""Files of data sets, as kinds to damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ndg import data
from ndg.config import Data
from ndg.models import pretrained
from tests.data import fixtures
from tests.fuzzing import mutations
from tests.fuzzing.harness import Kind, anything

# data sets


def _load(name: str) -> Any:
    def read(path: Path) -> Any:
        folder = path.parent if name != "images" else path.parent.parent
        splits = data.load(Data(name=name, dir=str(folder), vocabulary=300, length=16))
        return splits.sizes(), splits.digest

    return read


def make_arrays(folder: Path) -> Path:
    np.save(folder / "labels.npy", np.arange(60) % 3)
    np.save(folder / "inputs.npy", np.random.default_rng(0).random((60, 3)))
    return folder / "inputs.npy"


def make_labels(folder: Path) -> Path:
    make_arrays(folder)
    return folder / "labels.npy"


def make_idx(folder: Path) -> Path:
    fixtures.write_idx(folder, [*range(10)] * 6, [*range(10)] * 2)
    return folder / "train-labels-idx1-ubyte.gz"


def make_cifar(folder: Path) -> Path:
    fixtures.write_cifar10(folder, [[*range(10)] * 12], [*range(10)] * 2)
    return folder / "batches.meta"


def make_images(folder: Path) -> Path:
    for name in "ab":
        for number in range(20):
            fixtures.write_image(folder / name / f"{number}.png", fixtures.noise(4, 4, seed=number))
    return folder / "a" / "7.png"


def make_csv(folder: Path) -> Path:
    lines = [f'"text, {number} good",{"ab"[number % 2]}\n' for number in range(60)]
    (folder / "texts.csv").write_text("text,label\n" + "".join(lines))
    return folder / "texts.csv"


def make_jsonl(folder: Path) -> Path:
    rows = [json.dumps({"func": f"f{number}", "target": number % 2, "idx": number}) for number in range(60)]
    (folder / "train.jsonl").write_text("\n".join(rows))
    return folder / "train.jsonl"


def make_preprocessor(folder: Path) -> Path:
    (folder / "config.json").write_text("{}")
    settings = {
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "rescale_factor": 0.004,
        "size": {"height": 8},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | {"do_center_crop": True, "crop_size": 8}))
    return folder / "preprocessor_config.json"


def read_preprocessor(path: Path) -> Any:
    return pretrained.pixels(str(path.parent), 3)


DATA_FILES: dict[str, Kind] = {
    "arrays": Kind(make_arrays, mutations.of_bytes, _load("arrays"), anything),
    "labels": Kind(make_labels, mutations.of_bytes, _load("arrays"), anything),
    "idx": Kind(make_idx, mutations.of_bytes, _load("mnist")),
    "cifar": Kind(make_cifar, mutations.of_bytes, _load("cifar10"), anything),
    "images": Kind(make_images, mutations.of_bytes, _load("images"), anything),
    "csv": Kind(make_csv, mutations.of_bytes, _load("texts"), anything),
    "jsonl": Kind(make_jsonl, mutations.of_bytes, _load("devign"), anything),
    "preprocessor": Kind(make_preprocessor, mutations.of_json, read_preprocessor, anything),
}
