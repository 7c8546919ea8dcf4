"""Examples of a classification task, and their division into train, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
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
    """A whole data set before it is divided; pixels are in [0, 1]."""

    inputs: Float32[np.ndarray, "example channel height width"]
    labels: Int64[np.ndarray, " example"]
    class_names: tuple[str, ...]
    source: str


def split(pool: Pool, validation: float, test: float, seed: int) -> Splits:
    """The splits of a pool, stratified: of each class, `test` and then `validation` of its examples, rounded.

    Each class is shuffled by a generator of its own, so that the draw of a class depends on the seed and on its own
    examples alone. Raises DataError for an empty split, and for a class that a split lacks.
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in SPLITS}
    for label in range(len(pool.class_names)):
        of_class = np.flatnonzero(pool.labels == label)
        shuffled = seeds.generator(seed, "split", label).permutation(of_class)
        first, second = round(test * len(of_class)), round(validation * len(of_class))
        bounds = {"test": (0, first), "validation": (first, first + second), "train": (first + second, len(of_class))}
        for name, (start, stop) in bounds.items():
            parts[name].append(shuffled[start:stop])
    counts = {name: [len(part) for part in parts[name]] for name in SPLITS}
    for name, count in counts.items():
        _check(name, count, pool, {"validation": validation, "test": test})
    chosen = {name: torch.from_numpy(np.sort(np.concatenate(parts[name]))) for name in SPLITS}
    inputs, labels = torch.from_numpy(pool.inputs), torch.from_numpy(pool.labels)
    drawn = {name: Examples(inputs[rows], labels[rows], rows) for name, rows in chosen.items()}
    return Splits(**drawn, class_names=pool.class_names, source=pool.source)


def _check(name: str, counts: list[int], pool: Pool, fractions: dict[str, float]) -> None:
    remedy = f"raise data.{name}" if name in fractions else "lower data.validation or data.test"
    if not sum(counts):
        raise DataError(
            f"the {name} split must hold examples of every class; it is empty: {len(pool.labels)} examples of "
            f"{len(counts)} classes in {pool.source}, divided by {fractions}; {remedy}"
        )
    lacking = [pool.class_names[label] for label, count in enumerate(counts) if not count]
    if lacking:
        shown = ", ".join(map(repr, lacking[:5])) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
        total = int((pool.labels == pool.class_names.index(lacking[0])).sum())
        raise DataError(
            f"every class must occur in the {name} split; class {shown} never does ({pool.source} has {total} examples "
            f"of {lacking[0]!r}); {remedy if total > 2 else 'add examples of that class or leave it out'}"
        )
