"""Smallest sets of literals whose forcing makes a later literal true.

A single unit rarely decides a later one; a conjunction of a few does. For a hidden literal, units are taken in the
order of their factorial effects until forcing them makes the literal true on nearly all training examples on which it
is false; members that are not needed are taken out again. For a label, the unit and boolean that raise the mean
log-sigmoid margin most are added one by one. Whether a set survives is judged on other examples, on those on which the
literal was false before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from ndg import seeds
from ndg.activations.sampling import subset
from ndg.bits.matrix import BitMatrix
from ndg.causal.factorial import Effects
from ndg.causal.forced import ForcedCounts, ForcedSets
from ndg.errors import ConfigError, GraphError, check_kind, nearest
from ndg.graph.conjunctions import Conjunction
from ndg.graph.ndg import NDG
from ndg.intervals import wilson
from ndg.interventions import substitution
from ndg.interventions.cache import Cache
from ndg.interventions.passes import Passes
from ndg.literal import Literal
from ndg.nodes import NodeSpace
from ndg.options import RunOptions, plain_numbers
from ndg.results import Result, Row
from ndg.run_study import placed, run_batches

AT_MOST = 12
EFFECT, RANDOM = "effect", "random"

RARE = 0.05
"""Share of the examples on which a literal is at least true, and false, so that a set for it can be judged."""


@dataclass(frozen=True)
class SetSettings:
    """How sufficient sets are found and judged.

    at_most    members of a set
    at_least   share of the training examples with a false literal on which forcing the set must make it true
    survive    lower end of the Wilson interval of that share on other examples, from which a set survives
    examples   training examples, drawn by the seed
    order      units of hidden literals are taken by their "effect", or at "random" by the seed, as a control
    whole      whether sets for labels get `at_most` members also where fewer are enough, for comparison at equal size
    values     what is written: "boolean", "mean", "resample", or "auto" (see `ndg.interventions.substitution`)

    Raises ConfigError for numbers outside their range and an unknown order.
    """

    at_most: int = AT_MOST
    at_least: float = 0.95
    survive: float = 0.9
    examples: int = 512
    values: str = "auto"
    whole: bool = False
    order: str = EFFECT

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_kind(self.whole, (bool, np.bool_), "whole= is True or False", "leave it out for False")
        if self.order not in (EFFECT, RANDOM):
            raise ConfigError(f"units are taken by {EFFECT} or at {RANDOM}; got order={self.order!r}; leave it out")
        if self.at_most < 1 or self.examples < 1:
            raise ConfigError(
                f"a set has at least 1 member, found on at least 1 example; got {self.at_most} and {self.examples}"
            )
        if not (0 < self.at_least <= 1 and 0 < self.survive <= 1):
            raise ConfigError(f"shares are above 0 and at most 1; got {self.at_least} and {self.survive}")


@dataclass(frozen=True)
class SufficientSet:
    """Literals of a layer that make a target true, in order of strength.

    `training` and `test` are (examples with a false target, those on which it is true afterwards). `found` says whether
    the training share reached the bar, `survives` whether the lower end of the test interval did. `effects` are the
    factorial effects of the members on the target, as literals; None where one is unknown.
    """

    target: str
    members: tuple[str, ...]
    training: tuple[int, int]
    test: tuple[int, int]
    interval: tuple[float, float]
    found: bool
    survives: bool
    effects: tuple[float, ...] | None = None


@dataclass(frozen=True, eq=False)
class SufficientSets(Result):
    """Sufficient sets of one layer, one for each target, and the settings that found them."""

    layer: str
    sets: tuple[SufficientSet, ...]
    settings: SetSettings

    def rows(self) -> list[Row]:
        return [
            {
                "target": each.target,
                "size": len(each.members),
                "found": each.found,
                "survives": each.survives,
                "n": each.test[0],
                "turned": each.test[1],
                "low": each.interval[0],
                "high": each.interval[1],
                "members": " ".join(each.members),
            }
            for each in self.sets
        ]

    def context(self) -> Row:
        return {"layer": self.layer, "at_most": self.settings.at_most, "at_least": self.settings.at_least}

    def conjunctions(self, nodes: NodeSpace, survive: bool = True) -> tuple[Conjunction, ...]:
        """Sets as conjunctions of a graph over these nodes: those that survive, or all that were found."""
        return tuple(
            Conjunction(
                tuple(map(nodes.literal, each.members)),
                nodes.literal(each.target),
                each.training,
                each.test,
                each.effects,
            )
            for each in self.sets
            if each.members and (each.survives if survive else each.found)
        )

    @property
    def covered(self) -> float | None:
        """Share of the targets with a set that survives.

        None without targets.
        """
        return float(np.mean([each.survives for each in self.sets])) if self.sets else None

    def words(self) -> str:
        found = [each for each in self.sets if each.found]
        size = f", of {np.mean([len(each.members) for each in found]):.1f} literals on average" if found else ""
        survived = sum(each.survives for each in self.sets)
        taken = ", taken at random" if self.settings.order == RANDOM else ""
        return (
            f"{len(found)} of {len(self.sets)} targets have a sufficient set of at most {self.settings.at_most} "
            f"literals of {self.layer}{taken}{size}; {survived} survive on other examples (Wilson lower end at least "
            f"{self.settings.survive:g} where the target was false)."
        )


def sufficient_sets(
    model: nn.Module,
    graph: NDG,
    fit: Iterable[Any],
    test: Iterable[Any],
    effects: Effects,
    targets: Iterable[str] | None = None,
    *,
    settings: SetSettings = SetSettings(),
    options: RunOptions = RunOptions(),
) -> SufficientSets:
    """Sufficient sets of the units of `effects.layer` for literals of later units and labels.

    `graph` gives layers and thresholds: mine it from the hybrids or from plain examples. Sets are found on examples of
    `fit` and judged on all of `test`. `targets` are nodes or negated nodes (`~fc1:3`); the default is every unit of
    later layers that varies, on and off. Raises GraphError for an unknown target or a graph of another network,
    ConfigError for a target in the layer itself.
    """
    model = placed(model, options)
    literals = _targets(graph, effects, targets)
    writing = substitution.fit(settings.values, model, graph, fit, [effects.layer], options=options)
    passes = Passes.of(model, graph, [effects.layer], options.threads, Cache())
    units = graph.nodes.slice(effects.layer)
    nothing = np.zeros((0, units.stop - units.start), np.bool_)
    study = ForcedSets(passes, writing, (), nothing, nothing)
    search = _Search(study, list(subset(fit, settings.examples, options.seed)), settings, options)
    hidden = [literal for literal in literals if literal.node >= graph.nodes.labels]
    labels = [literal for literal in literals if literal.node < graph.nodes.labels]
    sets = {**search.conjunctions(hidden, effects, graph), **search.greedy(labels)}
    chosen = [(literal, *sets[literal]) for literal in literals]
    judged = _judge(study, chosen, test, options) if chosen else None
    results = []
    for place, (literal, units_on, booleans, training) in enumerate(chosen):
        assert judged is not None
        n, turned = int(judged.n[place]), int(judged.turned[place])
        low, high = (float(end) for end in wilson(turned, n)) if n else (0.0, 1.0)
        members = tuple(
            _named(effects.layer, unit, bool(booleans[unit])) for unit in search.strongest(literal, units_on)
        )
        found = bool(training[0]) and training[1] / training[0] >= settings.at_least
        survives = found and low >= settings.survive
        name = ("" if literal.value else "~") + graph.nodes.name(literal.node)
        own = _effects(effects, graph, literal, search.strongest(literal, units_on), booleans)
        results.append(SufficientSet(name, members, training, (n, turned), (low, high), found, survives, own))
    return SufficientSets(effects.layer, tuple(results), settings)


def common_literals(bits: BitMatrix, layer: str, rare: float = RARE) -> list[str]:
    """Literals of the units that are neither rarely on nor rarely off."""
    rate = bits.on()[bits.nodes.slice(layer)] / bits.examples
    units = np.flatnonzero((rate >= rare) & (rate <= 1 - rare)).tolist()
    return [f"{sign}{layer}:{unit}" for unit in units for sign in ("", "~")]


def _named(layer: str, unit: int, value: bool) -> str:
    return f"{'' if value else '~'}{layer}:{unit}"


def _effects(
    effects: Effects, graph: NDG, target: Literal, units: Sequence[int], booleans: np.ndarray
) -> tuple[float, ...] | None:
    """Effects of literals on a literal; None where one is unknown."""
    column = effects.effect[list(units), effects.later.index(graph.nodes.name(target.node))]
    signs = np.where(booleans[list(units)], 1.0, -1.0) * (1.0 if target.value else -1.0)
    return tuple((signs * column).tolist()) if np.isfinite(column).all() else None


def _targets(graph: NDG, effects: Effects, targets: Iterable[str] | None) -> list[Literal]:
    names = {graph.nodes.name(node): node for node in range(graph.nodes.labels + graph.nodes.neurons)}
    if targets is None:
        first = len(effects.later) - sum(not name.startswith("label:") for name in effects.later)
        varying = [
            name
            for place, name in enumerate(effects.later)
            if place >= first and not np.isnan(effects.q_values[:, place]).all()
        ]
        return [Literal(names[name], value) for name in varying for value in (True, False)]
    chosen = []
    for target in targets:
        name = target.lstrip("~¬")
        if name not in names:
            raise GraphError(
                f"a target is a node of the graph, such as {effects.later[0]}; got {target!r}; {nearest(name, names)}"
            )
        if name not in effects.later:
            raise ConfigError(f"a target is a label or lies behind {effects.layer!r}; got {target!r}")
        chosen.append(Literal(names[name], target == name))
    return list(dict.fromkeys(chosen))


class _Search:
    """Search for sets on training examples, all targets at once."""

    def __init__(self, study: ForcedSets, examples: Sequence[Any], settings: SetSettings, options: RunOptions) -> None:
        self._study, self._examples, self._settings = study, examples, settings
        self._options = replace(options, journal=None, progress=False)
        self._order: dict[Literal, list[int]] = {}

    def strongest(self, literal: Literal, chosen: np.ndarray) -> list[int]:
        """The chosen units in the order in which they were taken."""
        return [unit for unit in self._order[literal] if chosen[unit]]

    def conjunctions(self, targets: Sequence[Literal], effects: Effects, graph: NDG) -> dict[Literal, tuple[Any, ...]]:
        """Sets of hidden literals: the largest effects first, then without the members that are not needed."""
        places = {name: place for place, name in enumerate(effects.later)}
        signs: dict[Literal, np.ndarray] = {}
        for literal in targets:
            effect = np.nan_to_num(effects.effect[:, places[graph.nodes.name(literal.node)]])
            order = np.argsort(-np.abs(effect), kind="stable")
            if self._settings.order == RANDOM:
                order = seeds.generator(self._options.seed, f"order of {literal.node}").permutation(len(effect))
            self._order[literal] = order.tolist()
            signs[literal] = (effect > 0) == literal.value
        sets = {literal: np.zeros(len(signs[literal]), np.bool_) for literal in targets}
        best: dict[Literal, tuple[int, int]] = {}
        open_targets = list(targets)
        for size in range(self._settings.at_most):
            for literal in open_targets:
                if size < len(self._order[literal]):
                    sets[literal][self._order[literal][size]] = True
            best |= self._counted(open_targets, sets, signs)
            open_targets = [literal for literal in open_targets if not self._enough(best[literal])]
            if not open_targets:
                break
        self._delete([literal for literal in targets if self._enough(best[literal])], sets, signs, best)
        return {literal: (sets[literal], signs[literal], best[literal]) for literal in targets}

    def _delete(self, targets: Sequence[Literal], sets: Any, signs: Any, best: Any) -> None:
        """Take out members that are not needed, the weakest first."""
        waiting = {literal: self.strongest(literal, sets[literal]) for literal in targets}
        while any(len(members) > 0 and sets[literal].sum() > 1 for literal, members in waiting.items()):
            trying = [literal for literal in targets if waiting[literal] and sets[literal].sum() > 1]
            without = {}
            for literal in trying:
                without[literal] = sets[literal].copy()
                without[literal][waiting[literal].pop()] = False
            for literal, counts in self._counted(trying, without, signs).items():
                if self._enough(counts):
                    sets[literal], best[literal] = without[literal], counts

    def greedy(self, targets: Sequence[Literal]) -> dict[Literal, tuple[Any, ...]]:
        """Sets of labels: the unit and boolean that raise the mean log-sigmoid margin most, one by one."""
        units = self._study.chosen.shape[1]
        sets: dict[Literal, tuple[Any, ...]] = {}
        for literal in targets:
            chosen, booleans, counts = np.zeros(units, np.bool_), np.zeros(units, np.bool_), (0, 0)
            order: list[int] = []
            for _ in range(min(self._settings.at_most, units)):
                tried = [(unit, value) for unit in np.flatnonzero(~chosen) for value in (False, True)]
                more, values = (np.repeat(part[None], len(tried), axis=0) for part in (chosen, booleans))
                for row, (unit, value) in enumerate(tried):
                    more[row, unit], values[row, unit] = True, value
                total = self._run(self._study.of([literal] * len(tried), more, values))
                row = int(np.argmax(total.margin if literal.value else -total.margin))
                chosen, booleans, counts = more[row], values[row], (int(total.n[row]), int(total.turned[row]))
                order.append(int(tried[row][0]))
                if self._enough(counts) and not self._settings.whole:
                    break
            self._order[literal] = order
            sets[literal] = chosen, booleans, counts
        return sets

    def _enough(self, counts: tuple[int, int]) -> bool:
        return counts[0] > 0 and counts[1] / counts[0] >= self._settings.at_least

    def _counted(self, targets: Sequence[Literal], sets: Any, signs: Any) -> dict[Literal, tuple[int, int]]:
        if not targets:
            return {}
        chosen, booleans = (np.stack([part[literal] for literal in targets]) for part in (sets, signs))
        total = self._run(self._study.of(targets, chosen, booleans))
        return {literal: (int(total.n[row]), int(total.turned[row])) for row, literal in enumerate(targets)}

    def _run(self, study: ForcedSets) -> ForcedCounts:
        total: ForcedCounts = run_batches(study, self._examples, "sufficient sets", self._options).total
        return total


def _judge(study: ForcedSets, chosen: Sequence[Any], test: Iterable[Any], options: RunOptions) -> ForcedCounts:
    targets = [literal for literal, *_ in chosen]
    units, booleans = (np.stack([each[place] for each in chosen]) for place in (1, 2))
    own = replace(study, passes=replace(study.passes, cache=None, tried={}))
    total: ForcedCounts = run_batches(own.of(targets, units, booleans), test, "judge sets", options).total
    return total
