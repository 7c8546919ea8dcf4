"""Examples of a classification task, and their division into train, validation and test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int8, Int64
from torch import Tensor

from ndg import seeds
from ndg.data.inputs import Columns, Form, Inputs, Rows, Texts, Tokens, digest
from ndg.data.tokenizer import Tokenizer
from ndg.errors import DataError, nearest

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs with their true classes; `indices` are positions in the data set that they were drawn from."""

    inputs: Inputs
    labels: Int64[Tensor, " example"]
    indices: Int64[Tensor, " example"]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: Rows) -> Examples:
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

    def __iter__(self) -> Iterator[tuple[Columns, Tensor]]:
        for start in range(0, len(self.examples), self.batch_size):
            part = self.examples[start : start + self.batch_size]
            yield part.inputs.batch(), part.labels


@dataclass(frozen=True, eq=False)
class Splits:
    """Three disjoint sets of examples in which every class occurs. `source` says where they are from.

    Texts have the `tokenizer` that made tokens of them.
    """

    train: Examples
    validation: Examples
    test: Examples
    class_names: tuple[str, ...]
    source: str
    tokenizer: Tokenizer | None = None

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def form(self) -> Form:
        """What an input looks like to a network."""
        return self.train.inputs.form

    def __getitem__(self, name: str) -> Examples:
        if name not in SPLITS:
            raise DataError(f"a split is one of {', '.join(SPLITS)}; got {name!r}; {nearest(name, SPLITS)}")
        return getattr(self, name)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of all inputs and labels and of how they are divided."""
        parts: list[Inputs | bytes] = [repr(self.class_names).encode()]
        for name in SPLITS:
            part = self[name]
            parts += [name.encode(), part.inputs, part.labels.numpy().tobytes(), part.indices.numpy().tobytes()]
        return digest(*parts)

    def facts(self) -> dict[str, Any]:
        """What the run log says about the data; of texts also how many are `cut`, and how many `duplicates`."""
        found = {"source": self.source, "classes": self.classes, "examples": self.sizes(), "digest": self.digest}
        return found | ({"cut": self.cut, "duplicates": self.duplicates} if self.cut else {})

    @property
    def cut(self) -> dict[str, float]:
        """The fraction of the texts of each split that lost their end to `data.length`; empty for other inputs."""
        return {
            name: float(inputs.cut.double().mean())
            for name in SPLITS
            if isinstance(inputs := self[name].inputs, Tokens) and inputs.cut is not None
        }

    @property
    def duplicates(self) -> dict[str, float]:
        """The fraction of validation and test texts with the tokens of a training text; empty for other inputs."""
        prints = {name: inputs.prints() for name in SPLITS if isinstance(inputs := self[name].inputs, Tokens)}
        return {name: float(np.isin(prints[name], prints["train"]).mean()) for name in prints if name != "train"}

    def sizes(self) -> dict[str, int]:
        """Number of examples in each split."""
        return {name: len(self[name]) for name in SPLITS}


@dataclass(frozen=True, eq=False)
class Pool:
    """A whole data set before it is divided.

    `parts` is the publisher's own division, where there is one: for each example its place in SPLITS.
    """

    inputs: Inputs | Texts
    labels: Int64[np.ndarray, " example"]
    class_names: tuple[str, ...]
    source: str
    parts: Int8[np.ndarray, " example"] | None = None


def divide(
    pool: Pool, validation: float, test: float, seed: int, limit: int | None = None
) -> dict[str, Int64[np.ndarray, " chosen"]]:
    """The rows of each split, in their order, stratified: of each class, `test` and then `validation` of its examples,
    rounded.

    A validation or test set that the publisher set apart is taken whole, and the fraction for it is not used. With a
    validation set of the publisher and no test set, half of each class of it, rounded down, becomes the test set, since
    a training set may hold parts of its own texts. Each class is shuffled by a generator of its own, so that the draw
    of a class depends on the seed and on its own examples alone. Texts that are equal stay together in the set that the
    first of them is drawn for. With a `limit` no split has more examples than that, of each class its share, but at
    least one: with more classes than `limit`, one of each. Raises DataError for an empty split, and for a class that a
    split lacks.
    """
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in SPLITS}
    parts = np.zeros(len(pool.labels), np.int8) if pool.parts is None else pool.parts
    given = {SPLITS[number] for number in np.unique(parts)}
    halved = "validation" in given and "test" not in given
    for label in range(len(pool.class_names)):
        of_class = np.flatnonzero(pool.labels == label)
        generator = seeds.generator(seed, "split", label)
        own = {name: of_class[parts[of_class] == number] for number, name in enumerate(SPLITS)}
        rest = generator.permutation(own["train"])
        if halved:
            shuffled = generator.permutation(own["validation"])
            own["test"], own["validation"] = np.split(shuffled, [len(shuffled) // 2])
        for name, fraction in (("test", test), ("validation", validation)):
            if name not in given and not (halved and name == "test"):
                base = own["train"] if name == "test" or "test" in given else of_class
                own[name], rest = np.split(rest, [round(fraction * len(base))])
        own["train"] = rest
        for name in SPLITS:
            drawn[name].append(own[name])
    if isinstance(pool.inputs, Texts) and not {"validation", "test"} <= given:
        drawn = _together(drawn, pool.inputs, parts)
    fractions = {} if "validation" in given else {"validation": validation}
    if "test" not in given and not halved:
        fractions["test"] = test
    if len(pool.class_names) == 1:
        raise DataError(
            f"a classification tells at least 2 classes apart; {pool.source} has {pool.class_names[0]!r} alone; "
            "add examples of another class"
        )
    for name in SPLITS:
        origin = "validation" if halved and name == "test" else name
        _check(name, [len(rows) for rows in drawn[name]], pool, origin if origin in given else "train", fractions)
    if limit is not None:
        drawn = {name: _fewer(rows, limit, seed, name) for name, rows in drawn.items()}
    return {name: np.sort(np.concatenate(rows)) for name, rows in drawn.items()}


def split(pool: Pool, validation: float, test: float, seed: int, limit: int | None = None) -> Splits:
    """The splits of a pool of inputs, as `divide` divides it."""
    return take(pool, divide(pool, validation, test, seed, limit))


def take(
    pool: Pool, rows: dict[str, Int64[np.ndarray, " chosen"]], tokenizer: Tokenizer | None = None, length: int = 0
) -> Splits:
    """The splits of these rows; texts as tokens of the tokenizer, all as long as the longest, at most `length`."""
    inputs: dict[str, Inputs] = {}
    if not isinstance(pool.inputs, Texts):
        inputs = {name: pool.inputs[torch.from_numpy(chosen)] for name, chosen in rows.items()}
    elif tokenizer is not None:
        tokens = {name: tokenizer.encode(pool.inputs[chosen], length) for name, chosen in rows.items()}
        longest = max(int(each.lengths.max()) for each in tokens.values())
        inputs = {name: each.until(longest) for name, each in tokens.items()}
    else:
        raise DataError("texts become inputs by a tokenizer; got texts; use `ndg.data.load`")
    found = {
        name: Examples(inputs[name], torch.from_numpy(pool.labels[chosen]), torch.from_numpy(chosen))
        for name, chosen in rows.items()
    }
    return Splits(**found, class_names=pool.class_names, source=pool.source, tokenizer=tokenizer)


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names with commas, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _fewer(rows: list[np.ndarray], limit: int, seed: int, name: str) -> list[np.ndarray]:
    """Of each class its share of `limit` rows, at least one, drawn by the seed."""
    total = sum(map(len, rows))
    if total <= limit:
        return rows
    return [
        seeds.generator(seed, "limit", name, label).permutation(each)[: max(1, limit * len(each) // total)]
        for label, each in enumerate(rows)
    ]


def _together(drawn: dict[str, list[np.ndarray]], texts: Texts, parts: np.ndarray) -> dict[str, list[np.ndarray]]:
    """The same draw, but for equal texts of one set of the publisher: they are where the first of them was drawn to."""
    places = np.empty(len(parts), np.int8)
    for number, name in enumerate(SPLITS):
        places[np.concatenate(drawn[name])] = number
    first: dict[tuple[Any, ...], int] = {}
    places = places[[first.setdefault(key, row) for row, key in enumerate(zip(parts, texts.keys(), strict=True))]]
    of_class = [np.concatenate(rows) for rows in zip(*drawn.values(), strict=True)]
    return {name: [rows[places[rows] == number] for rows in of_class] for number, name in enumerate(SPLITS)}


def _check(name: str, counts: list[int], pool: Pool, origin: str, fractions: dict[str, float]) -> None:
    """Raise DataError where a split, drawn from the publisher's set `origin` by the `fractions`, lacks a class."""
    if name in fractions:
        remedy = f"raise data.{name}"
    elif origin != "train":
        remedy = f"get a copy with a larger {origin} set"
    else:
        remedy = "lower " + " or ".join(f"data.{key}" for key in fractions) if fractions else "get a larger copy"
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
