"""Results of interchanges: accuracy and coverage, beside controls.

Interchange intervention accuracy (IIA; Geiger, Lu, Icard & Potts 2021, "Causal Abstractions of Neural Networks") is
over the pairs that the graph decides; coverage says how many these are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ndg.abstraction.counts import Counts
from ndg.abstraction.interchange.families import LAYER, spoken
from ndg.abstraction.interchange.study import AMONG, CONTROLS, FIELDS, GRAPH
from ndg.abstraction.tally import Tally
from ndg.errors import ConfigError, nearest
from ndg.intervals import wilson
from ndg.results import Result, Row

COVERAGE = 0.2
"""Share of the pairs below which the graph is called undecided."""


@dataclass(frozen=True, eq=False)
class InterchangeResult(Result):
    """Counts `[among, field]` for each family of sets and control.

    `AMONG` selects pairs whose base and source labels differ, pairs whose labels agree, or all pairs; `FIELDS` names
    the counts.

    Controls are a random set of the same size and the shuffled graph's prediction. `without_ancestors` are the labels
    that no literal implies; for these, what they imply was swapped. `classes` counts the equivalence classes that were
    drawn from, `sources` is the size of the pool.
    """

    counts: Counts
    families: tuple[str, ...]
    layers: tuple[str, ...]
    without_ancestors: tuple[int, ...]
    classes: int
    sources: int
    paired: bool
    split: str
    seed: int
    graph: str
    executor: str
    reason: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InterchangeResult) and self._figures() == other._figures()

    def __hash__(self) -> int:
        return hash(self._figures())

    def _figures(self) -> tuple[Any, ...]:
        return self.counts, self.families, self.layers, self.sources, self.seed, self.graph

    def count(self, family: str, field: str, control: str = GRAPH, among: str = AMONG[0]) -> int:
        """One count; ConfigError if it was not counted."""
        name = f"{family}|{control}"
        valid = (
            (name, tuple(self.counts.by_name)),
            (field, FIELDS),
            (among, AMONG),
        )
        for asked, known in valid:
            if asked not in known:
                raise ConfigError(f"this interchange did not count {asked!r}; {nearest(asked, known)}")
        return int(self.counts[name][AMONG.index(among), FIELDS.index(field)])

    def row(self, family: str, control: str = GRAPH, among: str = AMONG[0]) -> Row:
        """Rates with 95 % Wilson intervals; None without pairs.

        `base_label` and `source_label` are the constant predictors on the pairs that the graph decides, `..._all` on
        all. `over_better` is IIA minus the better one on the same pairs, with a paired interval; picking it on these
        pairs favours it.
        """
        got = {field: self.count(family, field, control, among) for field in FIELDS}
        pairs, decided = got["pairs"], got["decided"]
        better = "base" if got["base_right_decided"] >= got["source_right_decided"] else "source"
        over = (
            Tally(
                correct=decided,
                unchanged=decided,
                graph_only=got[f"only_graph_not_{better}"],
                control_only=got[f"only_{better}_not_graph"],
            ).advantage
            if decided
            else None
        )
        return {
            "set": family,
            "control": control,
            "among": among,
            "layers": " + ".join(self.layers),
            "split": self.split,
            "pairs": pairs,
            "without_set": got["without"],
            "no_ancestors": got["no_ancestors"],
            "decided": decided,
            **rate("coverage", decided, pairs),
            **rate("iia", got["right"], decided),
            **rate("base_label", got["base_right_decided"], decided),
            **rate("source_label", got["source_right_decided"], decided),
            "better": f"{better} label" if decided else None,
            "over_better": over[0] if over else None,
            "over_better_low": over[1] if over else None,
            "over_better_high": over[2] if over else None,
            "labels_differ": _share(got["differ_decided"], decided),
            **rate("iia_undecided_wrong", got["right"], pairs),
            **rate("base_label_all", got["base_right"], pairs),
            **rate("source_label_all", got["source_right"], pairs),
            "labels_differ_all": _share(got["differ"], pairs),
            "units": _share(got["units"], pairs),
            "units_changed": _share(got["units_changed"], pairs),
            "no_label": got["no_label"],
            "several_labels": got["several_labels"],
            "contradictory": got["contradictory"],
        }

    def rows(self) -> list[Row]:
        """One row per family, control and kind of pair."""
        order = sorted(self.families, key=lambda family: family == LAYER)
        return [
            self.row(family, control, among)
            for family in order
            for control in CONTROLS
            if f"{family}|{control}" in self.counts
            for among in AMONG
        ]

    def to_dict(self) -> dict[str, Any]:
        """Counts and settings as plain JSON values."""
        return {
            "counts": self.counts.to_dict(),
            "fields": list(FIELDS),
            "among": list(AMONG),
            "families": list(self.families),
            "layers": list(self.layers),
            "without_ancestors": list(self.without_ancestors),
            "classes": self.classes,
            "sources": self.sources,
            "paired": self.paired,
            "split": self.split,
            "seed": self.seed,
            "graph": self.graph,
            "executor": self.executor,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> InterchangeResult:
        """Inverse of `to_dict`."""
        facts = {name: value for name, value in document.items() if name not in ("fields", "among")}
        plural = {name: tuple(facts[name]) for name in ("families", "layers", "without_ancestors")}
        return cls(**{**facts, **plural, "counts": Counts.from_dict(facts["counts"])})

    def words(self) -> str:
        """Accuracy and controls, in one sentence per family."""
        return "\n".join([*(f"{spoken(row['set'])}: {_verdict(row)}." for row in self._own()), *self._remarks()])

    def _own(self) -> list[Row]:
        return [self.row(family) for family in self.families]

    def _remarks(self) -> list[str]:
        if not self.without_ancestors:
            return []
        labels = ", ".join(map(str, self.without_ancestors))
        return [f"Nothing implies label {labels}: as ancestors, what is implied in turn was swapped."]


def _verdict(row: Row) -> str:
    if not row["pairs"]:
        return "no pair whose labels differ has such a set"
    if not row["decided"]:
        return f"the graph decides none of {row['pairs']} pairs (undecided)"
    if row["coverage"] < COVERAGE:
        return f"the graph decides {row['decided']} of {row['pairs']} pairs, under {COVERAGE:.0%} (undecided)"
    told = (
        f"the graph decides {row['decided']} of {row['pairs']} pairs and is right on {row['iia']:.3f} "
        f"[{row['iia_low']:.3f}, {row['iia_high']:.3f}]"
    )
    name = row["better"]
    value = row["base_label" if name == "base label" else "source_label"]
    low, high = row["over_better_low"], row["over_better_high"]
    verdict = "no better than" if high >= 0 else "worse than"
    return f"{told}; {'better than' if low > 0 else verdict} saying the {name}, {value:.3f}"


def rate(name: str, count: int, n: int) -> Row:
    """A rate with its 95 % Wilson interval."""
    if not n:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    low, high = wilson(count, n)
    return {name: count / n, f"{name}_low": float(low), f"{name}_high": float(high)}


def _share(count: int, n: int) -> float | None:
    return count / n if n else None
