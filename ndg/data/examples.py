"""Examples of a classification task, and their division into splits."""

from __future__ import annotations

from collections import Counter
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
Division = dict[str, Int64[np.ndarray, " _"]]


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs with true classes.

    `indices` are positions in the whole data set.
    """

    inputs: Inputs
    labels: Int64[Tensor, " example"]
    indices: Int64[Tensor, " example"]

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.inputs.form.shape))
        return f"Examples({len(self):,} of {self.inputs.form.kind}, {shape})"

    def __getitem__(self, chosen: Rows) -> Examples:
        return Examples(self.inputs[chosen], self.labels[chosen], self.indices[chosen])

    def loader(self, batch_size: int = 256) -> Batches:
        """Batches (inputs, labels) in order, for repeated iteration."""
        return Batches(self, batch_size)


def commonest_share(classes: Counter[int]) -> float | None:
    """Share of the commonest class; None without examples."""
    return max(classes.values()) / classes.total() if classes else None


@dataclass(frozen=True, eq=False)
class Batches:
    """Pairs (inputs, labels) of at most `batch_size` examples."""

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
    """Disjoint train, validation and test examples, each with every class."""

    train: Examples
    validation: Examples
    test: Examples
    class_names: tuple[str, ...]
    source: str
    tokenizer: Tokenizer | None = None

    def __repr__(self) -> str:
        sizes = ", ".join(f"{size:,} {name}" for name, size in self.sizes().items())
        return f"Splits({sizes}; {self.classes} classes; {self.source})"

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def form(self) -> Form:
        """Form of an input."""
        return self.train.inputs.form

    def __getitem__(self, name: str) -> Examples:
        if name not in SPLITS:
            raise DataError(f"a split must be one of {', '.join(SPLITS)}; got {name!r}; {nearest(name, SPLITS)}")
        return getattr(self, name)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of all inputs, labels and their division."""
        parts: list[Inputs | bytes] = [repr(self.class_names).encode()]
        for name in SPLITS:
            part = self[name]
            parts += [name.encode(), part.inputs, part.labels.numpy().tobytes(), part.indices.numpy().tobytes()]
        return digest(*parts)

    def facts(self) -> dict[str, Any]:
        """Facts for the run log, with `cut` and `duplicates` of texts.

        `commonest` is the share of the commonest class of each split.
        """
        commonest = {name: commonest_share(Counter(self[name].labels.flatten().tolist())) for name in SPLITS}
        facts = {"source": self.source, "classes": self.classes, "examples": self.sizes(), "digest": self.digest}
        facts["commonest"] = commonest
        return facts | ({"cut": self.cut, "duplicates": self.duplicates} if self.cut else {})

    @property
    def cut(self) -> dict[str, float]:
        """Fraction of truncated texts of each split; empty for other inputs."""
        return {
            name: float(inputs.cut.double().mean())
            for name in SPLITS
            if isinstance(inputs := self[name].inputs, Tokens) and inputs.cut is not None
        }

    @property
    def duplicates(self) -> dict[str, float]:
        """Fraction of validation and test texts that equal a training text."""
        texts = {name: inputs.fingerprints() for name in SPLITS if isinstance(inputs := self[name].inputs, Tokens)}
        return {name: float(np.isin(own, texts["train"]).mean()) for name, own in texts.items() if name != "train"}

    def sizes(self) -> dict[str, int]:
        """Number of examples in each split."""
        return {name: len(self[name]) for name in SPLITS}


@dataclass(frozen=True, eq=False)
class Pool:
    """Whole data set, with the publisher's splits if there are any.

    `parts` is the place in SPLITS of each example.
    """

    inputs: Inputs | Texts
    labels: Int64[np.ndarray, " example"]
    class_names: tuple[str, ...]
    source: str
    parts: Int8[np.ndarray, " example"] | None = None


def divide(pool: Pool, validation: float, test: float, seed: int, limit: int | None = None) -> Division:
    """Rows of each split, sorted and stratified by class.

    Of each class, the fraction `test` and then `validation` of its examples is drawn, rounded, from the seed and its
    own examples alone. A validation or test set of the publisher is taken whole. If there is only a validation set,
    half of each of its classes, rounded down, becomes the test set, since a training set may contain parts of its own
    texts. Equal texts stay together, in the set of the first one. `limit` bounds the examples of a split, with a
    proportional share of at least one per class. Raises DataError for an empty split, and for a class that a split
    lacks.
    """
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in SPLITS}
    parts = np.zeros(len(pool.labels), np.int8) if pool.parts is None else pool.parts
    published = {SPLITS[number] for number in np.unique(parts)}
    halved = "validation" in published and "test" not in published
    for label in range(len(pool.class_names)):
        of_class = np.flatnonzero(pool.labels == label)
        generator = seeds.generator(seed, "split", label)
        by_split = {name: of_class[parts[of_class] == number] for number, name in enumerate(SPLITS)}
        remaining = generator.permutation(by_split["train"])
        if halved:
            shuffled = generator.permutation(by_split["validation"])
            by_split["test"], by_split["validation"] = np.split(shuffled, [len(shuffled) // 2])
        for name, fraction in (("test", test), ("validation", validation)):
            if name not in published and not (halved and name == "test"):
                eligible = by_split["train"] if name == "test" or "test" in published else of_class
                by_split[name], remaining = np.split(remaining, [round(fraction * len(eligible))])
        by_split["train"] = remaining
        for name in SPLITS:
            drawn[name].append(by_split[name])
    if isinstance(pool.inputs, Texts) and not {"validation", "test"} <= published:
        drawn = _together(drawn, pool.inputs, parts)
    fractions = {} if "validation" in published else {"validation": validation}
    if "test" not in published and not halved:
        fractions["test"] = test
    if len(pool.class_names) == 1:
        raise DataError(
            f"a classification needs at least 2 classes; {pool.source} has only {pool.class_names[0]!r}; "
            "add examples of another class"
        )
    for name in SPLITS:
        origin = "validation" if halved and name == "test" else name
        _check(name, [len(rows) for rows in drawn[name]], pool, origin if origin in published else "train", fractions)
    if limit is not None:
        drawn = {name: _fewer(rows, limit, seed, name) for name, rows in drawn.items()}
    return {name: np.sort(np.concatenate(rows)) for name, rows in drawn.items()}


def split(pool: Pool, validation: float, test: float, seed: int, limit: int | None = None) -> Splits:
    """Splits of a pool of inputs, as `divide` divides it."""
    return take(pool, divide(pool, validation, test, seed, limit))


def take(pool: Pool, rows: Division, tokenizer: Tokenizer | None = None, length: int = 0) -> Splits:
    """Splits of these rows; texts are tokenised to at most `length`."""
    inputs: dict[str, Inputs] = {}
    if not isinstance(pool.inputs, Texts):
        inputs = {name: pool.inputs[torch.from_numpy(chosen)] for name, chosen in rows.items()}
    elif tokenizer is not None:
        tokens = {name: tokenizer.encode(pool.inputs[chosen], length) for name, chosen in rows.items()}
        longest = max(int(part.lengths.max()) for part in tokens.values())
        inputs = {name: part.trimmed(longest) for name, part in tokens.items()}
    else:
        raise DataError("texts need a tokenizer to become inputs; got none; use `ndg.data.load`")
    examples = {
        name: Examples(inputs[name], torch.from_numpy(pool.labels[chosen]), torch.from_numpy(chosen))
        for name, chosen in rows.items()
    }
    return Splits(**examples, class_names=pool.class_names, source=pool.source, tokenizer=tokenizer)


def listed(names: Sequence[str], most: int = 5) -> str:
    """First names with commas, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _fewer(rows: list[np.ndarray], limit: int, seed: int, name: str) -> list[np.ndarray]:
    """Random rows of each class, in proportion, about `limit` in all."""
    total = sum(map(len, rows))
    if total <= limit:
        return rows
    return [
        seeds.generator(seed, "limit", name, label).permutation(of_class)[: max(1, limit * len(of_class) // total)]
        for label, of_class in enumerate(rows)
    ]


def _together(drawn: dict[str, list[np.ndarray]], texts: Texts, parts: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Draw in which equal texts of one published set stay together."""
    places = np.empty(len(parts), np.int8)
    for number, name in enumerate(SPLITS):
        places[np.concatenate(drawn[name])] = number
    first: dict[tuple[Any, ...], int] = {}
    places = places[[first.setdefault(key, row) for row, key in enumerate(zip(parts, texts.keys(), strict=True))]]
    of_class = [np.concatenate(rows) for rows in zip(*drawn.values(), strict=True)]
    return {name: [rows[places[rows] == number] for rows in of_class] for number, name in enumerate(SPLITS)}


def _check(name: str, counts: list[int], pool: Pool, origin: str, fractions: dict[str, float]) -> None:
    """Raise DataError if a split of the published set `origin` lacks a class."""
    if name in fractions:
        remedy = f"raise data.{name}"
    elif origin != "train":
        remedy = f"get a copy with a larger {origin} set"
    else:
        remedy = "lower " + " or ".join(f"data.{key}" for key in fractions) if fractions else "get a larger copy"
    if not sum(counts):
        raise DataError(
            f"the {name} split must have examples of every class; it is empty: {len(pool.labels)} examples of "
            f"{len(counts)} classes in {pool.source}, divided by {fractions}; {remedy}"
        )
    lacking = [pool.class_names[label] for label, count in enumerate(counts) if not count]
    if lacking:
        shown = listed(list(map(repr, lacking)))
        of_class = pool.labels == pool.class_names.index(lacking[0])
        total = int(of_class.sum())
        if name == "train" and pool.parts is not None and not (of_class & (pool.parts == 0)).any():
            remedy = "add some to the published train set, or leave that class out"
        raise DataError(
            f"every class must occur in the {name} split; class {shown} never does ({pool.source} has {total} examples "
            f"of {lacking[0]!r}); {remedy if total > 2 else 'add examples of that class or leave it out'}"
        )
