"""Study of interventions and controls on one compute batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ndg.abstraction.bootstrap import GROUPS, groups_of
from ndg.abstraction.controls import CONTROLS, GRAPH, OF_CHANGES, Controls, Prototypes
from ndg.abstraction.counts import Counts
from ndg.abstraction.orders import Orders
from ndg.abstraction.tally import Outcome, Tallies, Tally
from ndg.activations.batches import Batch
from ndg.bits.packing import trues
from ndg.interventions.intervention_sets import Choices, alternatives
from ndg.interventions.passes import BaselinePass, PassesStudy, argmax, true_classes
from ndg.interventions.shared_passes import run_each
from ndg.interventions.subsets import Bits, Indices
from ndg.interventions.substitution import Substitution, Writing

DRAW = "draw"

SettingBits = Bool[np.ndarray, "setting example unit"]
Classes = Int64[np.ndarray, "setting example"]


@dataclass(frozen=True)
class TrialCounts:
    """Tallies by (intervention, control) and longer names, and curves."""

    tallies: Tallies
    curves: Counts

    def __add__(self, other: TrialCounts) -> TrialCounts:
        return TrialCounts(self.tallies + other.tallies, self.curves + other.curves)

    def to_dict(self) -> dict[str, Any]:
        return {"tallies": self.tallies.to_dict(), "curves": self.curves.packed()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> TrialCounts:
        """Inverse of `to_dict`."""
        return cls(Tallies.from_dict(document["tallies"]), Counts.unpacked(document["curves"]))


@dataclass(frozen=True, eq=False)
class Study(PassesStudy):
    """Study of one trial.

    `choices` are those of each intervention, of the graph and of every control graph. Draws are by seed, seed + 1 and
    so on; those after the first count the graph's choice and the controls that `redrawn` names for the intervention.
    With `orders` the curves are counted.
    """

    layer: str
    choices: dict[str, dict[str, Choices]]
    prototypes: Prototypes
    writing: Writing
    seed: int
    redrawn: dict[str, tuple[str, ...]]
    draws: int = 1
    orders: Orders | None = None

    decode = staticmethod(TrialCounts.from_dict)

    @property
    def labels(self) -> int:
        return self.passes.nodes.labels

    def run(self, batch: Batch) -> TrialCounts:
        """Counts of one batch, by intervention, control and draw."""
        return _counted(self, batch)


@dataclass(frozen=True, eq=False)
class _Setting:
    """Units to be set, their values, and flags of each example."""

    chosen: Bits
    values: Bits
    contradictory: Bool[np.ndarray, " example"]
    no_ancestors: Bool[np.ndarray, " example"]


@dataclass(frozen=True, eq=False)
class _Seen:
    """The untouched batch: classes, counted examples, drawn alternatives."""

    known: BaselinePass
    bits: Bits
    true: Indices
    correct: Bool[np.ndarray, " example"]

    @property
    def rows(self) -> Int64[np.ndarray, " row"]:
        return np.flatnonzero(self.correct)


def _counted(study: Study, batch: Batch) -> TrialCounts:
    known = study.passes.baseline(batch)
    true = true_classes(batch, study.labels)
    seen = _Seen(known, known.bits[study.layer], true, known.predicted == true)
    others = [alternatives(study.seed + draw, known.numbers, true, study.labels) for draw in range(study.draws)]
    drawn = [Controls(study.prototypes, study.seed + draw, known.numbers, other) for draw, other in enumerate(others)]
    settings = {
        (name, draw, control): setting
        for name in study.choices
        for draw, other in enumerate(others)
        for control, setting in _settings(study, name, seen, other, drawn[draw], not draw).items()
    }
    booleans = [np.where(setting.chosen, setting.values, seen.bits) for setting in settings.values()]
    binarised, *after = predict(study, known, np.stack([seen.bits, *booleans]), seen.rows)
    tallies: dict[tuple[str | int, ...], Tally] = {}
    everyone = np.ones(batch.count, np.bool_)
    aligned_by_graph = ~everyone
    for (name, draw, control), setting, predicted in zip(settings, settings.values(), after, strict=True):
        other = others[draw]
        aligned_by_graph = predicted == other if control == GRAPH else aligned_by_graph
        outcome = Outcome(
            correct=seen.correct,
            aligned=predicted == other,
            unchanged=predicted == true,
            contradictory=setting.contradictory,
            no_ancestors=setting.no_ancestors,
            neurons_set=trues(setting.chosen),
            neurons_changed=trues(setting.chosen & (setting.values != seen.bits)),
            kept=binarised == true,
            graph_aligned=aligned_by_graph,
        )
        tallies[(name, DRAW, draw, control) if draw else (name, control)] = outcome.tally()
        if control == GRAPH and not draw:
            for role, classes in (("true", true), ("alternative", other)):
                tallies |= {(name, control, role, label): part for label, part in outcome.by_class(classes).items()}
    return TrialCounts(Tallies(tallies), Counts(_curves(study, seen, others[0]) if study.orders else {}))


def _settings(
    study: Study, name: str, seen: _Seen, other: Indices, controls: Controls, first: bool
) -> dict[str, _Setting]:
    """Settings of the graph's choice, then of each counted control."""
    choices = study.choices[name]
    graph = _named(choices[GRAPH], seen.true, other)
    nobody = np.zeros(len(other), np.bool_)
    names = CONTROLS if first else study.redrawn[name]
    changes = trues(graph.chosen & (graph.values != seen.bits))
    sized = controls.of(trues(graph.chosen), [of for of in names if of not in OF_CHANGES])
    changed = controls.of_changes(seen.bits, changes, [of for of in names if of in OF_CHANGES])
    others = {of: _named(choice, seen.true, other) for of, choice in choices.items() if first and of != GRAPH}
    return {GRAPH: graph, **{of: _Setting(*each, nobody, nobody) for of, each in (sized | changed).items()}, **others}


def _named(choice: Choices, true: Indices, other: Indices) -> _Setting:
    return _Setting(*choice.of(true, other), choice.no_ancestors[other])


def _curves(study: Study, seen: _Seen, other: Indices) -> dict[str, np.ndarray]:
    """Curve counts by intervention and order, and examples of each group."""
    assert study.orders is not None
    numbers, rows = seen.known.numbers, seen.rows
    groups = groups_of(study.seed, numbers)[rows]
    sizes = np.array(study.orders.sizes)[:, None, None]
    counts: dict[str, np.ndarray] = {}
    for name, choices in study.choices.items():
        orders = study.orders.settings(choices[GRAPH], study.prototypes, study.seed, numbers, seen.true, other)
        chosen = np.stack([place < sizes for place, _ in orders.values()])  # order, size, example, unit
        values = np.stack([values for _, values in orders.values()])[:, None]
        changed = chosen & (values != seen.bits)
        booleans = seen.bits ^ changed
        flat = predict(study, seen.known, booleans.reshape(-1, *booleans.shape[2:]), rows)
        predicted = flat.reshape(booleans.shape[:3])
        figures = np.stack([trues(chosen), trues(changed), predicted == other], axis=3)[:, :, rows]
        for order, of_order in zip(orders, figures.astype(np.int64), strict=True):
            counted = np.zeros((GROUPS, len(study.orders.sizes), 3), np.int64)
            np.add.at(counted, groups, of_order.transpose(1, 0, 2))
            counts[curve_key(name, order)] = counted
        counts[curve_key(name)] = np.bincount(groups, minlength=GROUPS)
    return counts


def curve_key(intervention: str, order: str | None = None) -> str:
    """Name of a curve's counts, or of its examples."""
    return json.dumps([intervention] if order is None else [intervention, order])


def predict(study: Study, known: BaselinePass, settings: SettingBits, rows: Int64[np.ndarray, " row"]) -> Classes:
    """Predictions of `rows` when the layer has these booleans, else -1.

    Equal booleans of an example run once. An example keeps its row in every pass, so its floats do not depend on
    others.
    """
    predicted = np.full(settings.shape[:2], -1, np.int64)
    if not len(rows):
        return predicted
    units = settings.shape[2]
    wanted = settings[:, rows].reshape(-1, units)
    first, which = _distinct(wanted, np.tile(rows, len(settings)))
    row = rows[first % len(rows)]
    turn = np.arange(len(first)) - np.searchsorted(row, row)
    booleans = np.repeat(known.bits[study.layer][None], turn.max() + 1, axis=0)
    booleans[turn, row] = wanted[first]
    changes = (Substitution(study.writing, known, study.layer, whole).write for whole in booleans)
    logits = run_each(study.passes, known, study.layer, changes)
    classes = np.stack([argmax(each[: known.batch.count]) for each in logits])[turn, row]
    predicted[:, rows] = classes[which].reshape(len(settings), len(rows))
    return predicted


def _distinct(
    wanted: Bool[np.ndarray, "asked unit"], rows: Int64[np.ndarray, " asked"]
) -> tuple[Int64[np.ndarray, " distinct"], Int64[np.ndarray, " asked"]]:
    """First index of each distinct pair, and inverse indices."""
    packed = np.packbits(wanted, axis=1)
    filled = np.pad(packed, ((0, 0), (0, max(0, 4 - packed.shape[1]))))
    bits = np.concatenate([rows.astype(">u4").view(np.uint8).reshape(-1, 4), filled], axis=1)
    width = bits.shape[1]
    keys = bits.view(">u8" if width == 8 else np.dtype((np.void, width))).reshape(-1)
    if width == 8:  # up to 32 units: native integers sort ten times as fast, in the same order
        keys = keys.astype(np.uint64)
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return first, which.reshape(-1)
