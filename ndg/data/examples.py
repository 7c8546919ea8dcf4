"""Examples of a classification task, and their division into train, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from ndg import seeds
from ndg.errors import DataError, nearest

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs with their true classes; `indices` are positions in the data set that they were drawn from."""

    inputs: Float32[Tensor, "example channel height width"]
    labels: Int64[Tensor, " example"]
    indices: Int64[Tensor, " example"]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: slice | Int64[Tensor, " chosen"]) -> Examples:
        return Examples(self.inputs[chosen], self.labels[chosen], self.indices[chosen])

    def loader(self, batch_size: int = 256) -> Batches:
        """The examples in their order, as (inputs, labels); it can be walked any number of times."""
        return Batches(self, batch_size)


@dataclass(frozen=True, eq=False)
class Batches:
    """Pairs (inputs, labels) of at most `batch_size` examples; the last may be smaller."""

    examples: Examples
    batch_size: int

    def __len__(self) -> int:
        return -(-len(self.examples) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.examples), self.batch_size):
            part = self.examples[start : start + self.batch_size]
            yield part.inputs, part.labels


@dataclass(frozen=True, eq=False)
class Splits:
    """Three disjoint sets of examples in which every class occurs. `source` says where they are from."""

    train: Examples
    validation: Examples
    test: Examples
    class_names: tuple[str, ...]
    source: str

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an input."""
        channels, height, width = self.train.inputs.shape[1:]
        return channels, height, width

    def __getitem__(self, name: str) -> Examples:
        if name not in SPLITS:
            raise DataError(f"a split is one of {', '.join(SPLITS)}; got {name!r}; {nearest(name, SPLITS)}")
        return getattr(self, name)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of all inputs and labels and of how they are divided."""
        state = hashlib.sha256(repr(self.class_names).encode())
        for name in SPLITS:
            part = self[name]
            for tensor in (part.inputs, part.labels, part.indices):
                state.update(f"{name} {tuple(tensor.shape)}".encode())
                state.update(tensor.contiguous().numpy().data)
        return state.hexdigest()[:16]

    def facts(self) -> dict[str, Any]:
        """What the run log says about the data."""
        return {"source": self.source, "classes": self.classes, "examples": self.sizes(), "digest": self.digest}

    def sizes(self) -> dict[str, int]:
        """Number of examples in each split."""
        return {name: len(self[name]) for name in SPLITS}


@dataclass(frozen=True, eq=False)
class Pool:
    """A whole data set before it is divided; pixels are in [0, 1], or bytes, which `split` divides by 255.

    `test` marks the publisher's own test set, where there is one.
    """

    inputs: Float32[np.ndarray, "example channel height width"] | UInt8[np.ndarray, "example channel height width"]
    labels: Int64[np.ndarray, " example"]
    class_names: tuple[str, ...]
    source: str
    test: Bool[np.ndarray, " example"] | None = None


def split(pool: Pool, validation: float, test: float, seed: int) -> Splits:
    """The splits of a pool, stratified: of each class, `test` and then `validation` of its examples, rounded.

    Where the publisher set a test set apart, that is the test split, whole; `test` is not used, and `validation` is a
    fraction of the other examples. Each class is shuffled by a generator of its own, so that the draw of a class
    depends on the seed and on its own examples alone. Raises DataError for an empty split, and for a class that a
    split lacks.
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in SPLITS}
    for label in range(len(pool.class_names)):
        of_class = np.flatnonzero(pool.labels == label)
        generator = seeds.generator(seed, "split", label)
        if pool.test is None:
            shuffled = generator.permutation(of_class)
            tested, rest = np.split(shuffled, [round(test * len(of_class))])
            drawn = round(validation * len(of_class))
        else:
            marked = pool.test[of_class]
            tested, rest = of_class[marked], generator.permutation(of_class[~marked])
            drawn = round(validation * len(rest))
        for name, rows in zip(("test", "validation", "train"), (tested, rest[:drawn], rest[drawn:]), strict=True):
            parts[name].append(rows)
    for name in SPLITS:
        _check(name, [len(rows) for rows in parts[name]], pool, {"validation": validation, "test": test})
    chosen = {name: _take(pool, np.sort(np.concatenate(parts[name]))) for name in SPLITS}
    return Splits(**chosen, class_names=pool.class_names, source=pool.source)


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names with commas, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _take(pool: Pool, rows: Int64[np.ndarray, " chosen"]) -> Examples:
    inputs = pool.inputs[rows]
    if inputs.dtype == np.uint8:
        inputs = np.divide(inputs, 255, dtype=np.float32)
    return Examples(torch.from_numpy(inputs), torch.from_numpy(pool.labels[rows]), torch.from_numpy(rows))


def _check(name: str, counts: list[int], pool: Pool, fractions: dict[str, float]) -> None:
    if pool.test is None:
        remedy = f"raise data.{name}" if name in fractions else "lower data.validation or data.test"
    else:
        fractions = {"validation": fractions["validation"]}
        remedy = {"train": "lower data.validation", "validation": "raise data.validation"}.get(
            name, "get a copy with a larger test set"
        )
    if not sum(counts):
        raise DataError(
            f"the {name} split must hold examples of every class; it is empty: {len(pool.labels)} examples of "
            f"{len(counts)} classes in {pool.source}, divided by {fractions}; {remedy}"
        )
    lacking = [pool.class_names[label] for label, count in enumerate(counts) if not count]
    if lacking:
        shown = listed([repr(each) for each in lacking])
        total = int((pool.labels == pool.class_names.index(lacking[0])).sum())
        raise DataError(
            f"every class must occur in the {name} split; class {shown} never does ({pool.source} has {total} examples "
            f"of {lacking[0]!r}); {remedy if total > 2 else 'add examples of that class or leave it out'}"
        )
