"""Edges between layers, or between two networks under five conditions.

1. two trainings on the same inputs;
2. two trainings on different inputs: every example is paired with another one;
3. one network on different inputs, paired in the same way: a negative control;
4. one network on real and on random inputs: a negative control;
5. networks of two tasks on the same inputs.

With unrelated inputs (2, 3, 4), edges between the two are due to chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Int64
from torch import nn

from ndg import discovery
from ndg.bits.matrix import BitMatrix
from ndg.bits.packing import zeros
from ndg.comparison.inputs import Unlabelled
from ndg.comparison.resampling import independent, paired_anew
from ndg.comparison.sections import Section, groups_of, sections
from ndg.comparison.sources import Source, on_noise, read
from ndg.errors import ConfigError, ShapeError
from ndg.extraction import ReadingSettings
from ndg.graph.ndg import NDG
from ndg.mining.miner import Rule
from ndg.nodes import CONCEPT, LABEL, NodeSpace
from ndg.options import RunOptions, old_keywords, plain_numbers
from ndg.results import Result, Row

SAME, DIFFERENT, ONE, RANDOM, TASKS = CONDITIONS = (
    "two trainings, same inputs",
    "two trainings, different inputs",
    "one network, different inputs",
    "one network, real and random inputs",
    "two tasks, same inputs",
)
UNRELATED = frozenset({DIFFERENT, ONE, RANDOM})
"""Conditions with unrelated inputs."""


Names = tuple[str, str]


def join(a: BitMatrix, b: BitMatrix, names: Names = ("a", "b")) -> BitMatrix:
    """Nodes of `a` and `b` side by side.

    Examples are paired by number.

    Layers and concepts get the name of their side, `a/latent`. The labels of `a` stay labels; those of `b` become
    concepts, `b/label:3`, so the implications within a side are those of its own bits. Raises ShapeError for different
    numbers of examples, ConfigError for names that do not distinguish the sides.
    """
    _check(names)
    if a.examples != b.examples:
        raise ShapeError(
            f"examples are paired by number, so both sides need as many; got {a.examples} and {b.examples}; extract "
            "both with the same loader or with the same max_examples"
        )
    first, second = names
    nodes = NodeSpace(
        a.nodes.labels,
        tuple(
            replace(layer, name=f"{side}/{layer.name}")
            for side, bits in ((first, a), (second, b))
            for layer in bits.nodes.layers
        ),
        (
            *(f"{first}/{name}" for name in a.nodes.concepts),
            *(f"{second}/{LABEL}:{label}" for label in range(b.nodes.labels)),
            *(f"{second}/{name}" for name in b.nodes.concepts),
        ),
    )
    (labels, units, concepts), (labels_b, units_b, concepts_b) = (
        np.split(bits.words, [bits.nodes.labels, bits.nodes.slice(CONCEPT).start]) for bits in (a, b)
    )
    words = zeros(len(nodes), a.words.shape[1])
    np.concatenate([labels, units, units_b, concepts, labels_b, concepts_b], out=words)
    same = a.binarizer == b.binarizer
    return BitMatrix(
        nodes,
        words,
        a.examples,
        np.concatenate([a.thresholds, b.thresholds]),
        a.binarizer if same else f"{first}: {a.binarizer}, {second}: {b.binarizer}",
        a.correct,
        a.sample if a.sample == b.sample else None,
    )


def sides(nodes: NodeSpace, names: Names = ("a", "b")) -> Int64[np.ndarray, " node"]:
    """Side of each joined node, 0 (with labels) or 1."""
    _check(names)
    side = np.zeros(len(nodes), np.int64)
    for layer in nodes.layers:
        side[nodes.slice(layer.name)] = _side(layer.name, names)
    for node, name in enumerate(nodes.concepts, start=nodes.slice(CONCEPT).start):
        side[node] = _side(name, names)
    return side


def _side(name: str, names: Names) -> int:
    side = name.partition("/")[0]
    if side not in names:
        raise ShapeError(f"joined nodes begin with their side, {names[0]}/ or {names[1]}/; got {name!r}; join first")
    return names.index(side)


def _check(names: Names) -> None:
    if names[0] == names[1] or any(not name or "/" in name or name.startswith("~") for name in names):
        raise ConfigError(
            f"two sides need different names, not empty, without / and not beginning with ~; got {names!r}; "
            "('a', 'b') will do"
        )


@dataclass(frozen=True, kw_only=True)
class _OfGraph(Result):
    """A result of one mined graph."""

    graph: str
    criterion: dict[str, Any]
    examples: int
    seed: int

    def context(self) -> Row:
        return {"graph": self.graph, "criterion": self.criterion, "examples": self.examples, "seed": self.seed}


@dataclass(frozen=True)
class InterLayer(_OfGraph):
    """Edges within and between labels, layers and concepts."""

    sections: tuple[Section, ...]

    def rows(self) -> list[Row]:
        """One row per pair of labels, layers or concepts."""
        return [section.row() for section in self.sections]

    def words(self) -> str:
        """Held-out precision and chance, in one line per pair of parts."""
        parts = self.sections
        return "\n".join(f"{part.first} and {part.second}: {part.figures.words()}." for part in parts)


@dataclass(frozen=True)
class InterModel(_OfGraph):
    """Edges within and between two sides, under one condition."""

    condition: str
    within: tuple[Section, Section]
    between: Section

    def rows(self) -> list[Row]:
        """One row for each side and one for the edges between."""
        return [{"condition": self.condition} | section.row() for section in (*self.within, self.between)]

    def words(self) -> str:
        """The number of edges between, and the control, in one sentence."""
        total = self.between.figures.edges + sum(section.figures.edges for section in self.within)
        chance = "" if self.between.shuffled is None else f" (independent nodes: {self.between.shuffled:,})"
        head = f"{self.condition or 'between'}: {self.between.figures.edges:,} of {total:,} edges are between{chance}"
        expected = "; none were expected but by chance" if self.condition in UNRELATED else ""
        return f"{head}{expected}."


@dataclass(frozen=True)
class InterModels(Result):
    """Results of the conditions; `left_out` holds reasons for missing ones."""

    conditions: tuple[InterModel, ...]
    left_out: dict[str, str]

    def rows(self) -> list[Row]:
        """Three rows per condition."""
        return [row for inter in self.conditions for row in inter.rows()]

    def context(self) -> Row:
        conditions = {inter.condition: inter.context() for inter in self.conditions}
        return {"left_out": dict(self.left_out), "conditions": conditions}

    def words(self) -> str:
        """One sentence per condition, also for those left out."""
        left = [f"{name}: left out, {why}." for name, why in self.left_out.items()]
        return "\n".join([*(inter.words() for inter in self.conditions), *left])


def inter_layer(bits: BitMatrix, held_out: BitMatrix, *, seed: int = 0, **mining: Any) -> InterLayer:
    """Edges within and between layers, with mined and held-out precision.

    The control counts the edges of nodes made independent by `seed`; `mining` are arguments of `ndg.mine`. Raises
    ConfigError for bits of fewer than two layers, ShapeError for held-out bits of other nodes.
    """
    if len(bits.nodes.layers) < 2:
        names = ", ".join(layer.name for layer in bits.nodes.layers) or "none"
        raise ConfigError(
            f"edges between layers need bits of at least two layers; got {names}; extract with layers=[first, second]"
        )
    shuffled = discovery.mine(independent(bits, seed), **mining)
    return of_graph(discovery.mine(bits, **mining), held_out, seed, shuffled)


def of_graph(graph: NDG, held_out: BitMatrix, seed: int = 0, shuffled: NDG | None = None) -> InterLayer:
    """Edges within and between the layers of a mined graph."""
    parts = sections(graph, held_out, *groups_of(graph.nodes), shuffled)
    return InterLayer(parts, **_facts(graph, seed))


def _facts(graph: NDG, seed: int) -> dict[str, Any]:
    return {"graph": graph.digest, "criterion": graph.criterion, "examples": graph.examples, "seed": seed}


def inter_model(
    a: BitMatrix,
    b: BitMatrix,
    held_a: BitMatrix,
    held_b: BitMatrix,
    *,
    names: Names = ("a", "b"),
    condition: str = "",
    seed: int = 0,
    **mining: Any,
) -> InterModel:
    """Edges within and between two networks, with mined and held-out precision.

    Examples are paired by number; `mining` are arguments of `ndg.mine`. The control counts the edges of nodes made
    independent by `seed`. Raises ShapeError for different numbers of examples, or for held-out bits of other nodes.
    """
    both, held = join(a, b, names), join(held_a, held_b, names)
    graph = discovery.mine(both, **mining)
    shuffled = discovery.mine(independent(both, seed), **mining)
    first, between, second = sections(graph, held, sides(both.nodes, names), names, shuffled)
    return InterModel(condition, (first, second), between, **_facts(graph, seed))


@dataclass(frozen=True)
class PairSettings:
    """Settings for reading and mining two networks together.

    layers      layers of all networks; None: each at its own latent layer
    vocabulary  tokens that random inputs of a text network are drawn from
    criterion   criterion of the implications, a name or a value
    alpha       its alpha, where it has one
    mining      further arguments of `ndg.mine`: other parameters of the criterion, pairs, max_edges
    """

    layers: Sequence[str] | None = None
    vocabulary: int | None = None
    criterion: Rule = "paper"
    alpha: float | int = 20.0
    mining: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plain_numbers(self)


@old_keywords(settings=PairSettings, reading=ReadingSettings, options=RunOptions)
def inter_models(
    model: nn.Module,
    train: Iterable[Any],
    held_out: Iterable[Any],
    *,
    other: nn.Module | None = None,
    task: nn.Module | None = None,
    settings: PairSettings = PairSettings(),
    reading: ReadingSettings = ReadingSettings(),
    options: RunOptions = RunOptions(),
) -> InterModels:
    """Edges between networks under the five conditions.

    `other` is a second training of the network, `task` a network of another task; conditions without their network are
    left out. Inputs of `train` are mined, of `held_out` judged. DataError for a loader that shuffles or is read once.
    """
    inputs, judged, seed = Unlabelled(train), Unlabelled(held_out), options.seed

    def of(network: nn.Module) -> Source:
        return read(network, inputs, judged, settings.layers, settings=reading, options=options)

    def compare(condition: str, a: Source, b: Source, names: Names = ("first", "second")) -> InterModel:
        mining = {"criterion": settings.criterion, "alpha": settings.alpha, **settings.mining}
        return inter_model(
            a.mined, b.mined, a.held_out, b.held_out, names=names, condition=condition, seed=seed, **mining
        )

    own = of(model)
    conditions: list[InterModel] = []
    left_out: dict[str, str] = {}
    if other is None:
        left_out |= dict.fromkeys((SAME, DIFFERENT), "it needs a second training of the network")
    else:
        second = of(other)
        conditions.append(compare(SAME, own, second))
        conditions.append(compare(DIFFERENT, own, second.changed(paired_anew, seed)))
    conditions.append(compare(ONE, own, own.changed(paired_anew, seed)))
    noise = on_noise(
        model, inputs, judged, like=own.mined, vocabulary=settings.vocabulary, settings=reading, options=options
    )
    conditions.append(compare(RANDOM, own, noise, ("real", "random")))
    if task is None:
        left_out[TASKS] = "it needs a network of another task"
    else:
        conditions.append(compare(TASKS, own, of(task)))
    return InterModels(tuple(conditions), left_out)
