"""Results of interchanges: accuracy and coverage, beside controls.

Interchange intervention accuracy (IIA; Geiger, Lu, Icard & Potts 2021, "Causal Abstractions of Neural Networks") is
over the pairs that the graph decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ndg.abstraction.counts import Counts
from ndg.abstraction.interchange.families import LAYER, spoken
from ndg.abstraction.interchange.study import AMONG, CONTROLS, FIELDS, GRAPH
from ndg.abstraction.tally import Tally
from ndg.errors import ConfigError, nearest
from ndg.intervals import rate
from ndg.plots import Plot, Series, by, of_rows
from ndg.results import Result, Row, plain

COVERAGE = 0.2
"""Share of the pairs below which the graph is called undecided."""


@dataclass(frozen=True)
class InterchangeResult(Result):
    """Counts `[among, field]` for each family of sets and control.

    `AMONG` selects pairs whose labels differ, agree, or all; `FIELDS` names the counts. Controls are a random set of
    the same size and the shuffled graph's prediction. `without_ancestors` are the labels that no literal implies; what
    these imply was swapped. `classes` counts the equivalence classes, `sources` the pool.

    >>> swapped = ndg.interchange(net, graph, data)
    >>> swapped.families
    ('equivalence', 'ancestors', 'layer')
    """

    counts: Counts
    families: tuple[str, ...]
    layers: tuple[str, ...]
    without_ancestors: tuple[int, ...] = field(compare=False)
    classes: int = field(compare=False)
    sources: int
    paired: bool = field(compare=False)
    split: str = field(compare=False)
    seed: int
    graph: str
    executor: str = field(compare=False)
    reason: str = field(compare=False)

    def count(self, family: str, field: str, control: str = GRAPH, among: str = AMONG[0]) -> int:
        """One count; ConfigError if it was not counted."""
        name = f"{family}|{control}"
        for key, known in ((name, tuple(self.counts.by_name)), (field, FIELDS), (among, AMONG)):
            if key not in known:
                raise ConfigError(f"this interchange did not count {key!r}; {nearest(key, known)}")
        return int(self.counts[name][AMONG.index(among), FIELDS.index(field)])

    def plotted(self) -> Plot:
        """IIA against coverage of each family of sets, on pairs whose labels differ, by control."""
        rows = [row for row in self.rows() if row["among"] == AMONG[0]]
        series = tuple(Series.of(name, points, "coverage", "iia") for name, points in by(rows, "control").items())
        if not any(each.x for each in series):  # nothing is decided
            return of_rows("Coverage of interchange interventions", rows)
        coverage = "coverage: share of the pairs that are decided"
        return Plot("Interchange interventions", coverage, "IIA", series, "points")

    def row(self, family: str, control: str = GRAPH, among: str = AMONG[0]) -> Row:
        """Rates with 95 % Wilson intervals; None without pairs.

        `base_label` and `source_label` are the constant predictors on the decided pairs, `..._all` on all.
        `over_better` is IIA minus the better one on the same pairs, with a paired interval; picking it on these pairs
        favours it.
        """
        got = {field: self.count(family, field, control, among) for field in FIELDS}
        pairs, decided = got["pairs"], got["decided"]
        better = "base" if got["base_right_decided"] >= got["source_right_decided"] else "source"
        only, less = got[f"only_graph_not_{better}"], got[f"only_{better}_not_graph"]
        over = Tally(correct=decided, unchanged=decided, graph_only=only, control_only=less).advantage
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
            **plain(self, "families", "layers", "without_ancestors", "classes", "sources", "paired"),
            **plain(self, "split", "seed", "graph", "executor", "reason"),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> InterchangeResult:
        """Inverse of `to_dict`."""
        facts = {name: value for name, value in document.items() if name not in ("fields", "among")}
        plural = {name: tuple(facts[name]) for name in ("families", "layers", "without_ancestors")}
        return cls(**{**facts, **plural, "counts": Counts.from_dict(facts["counts"])})

    def words(self) -> str:
        """Accuracy and controls, in one sentence per family."""
        lines = [f"{spoken(family)}: {_verdict(self.row(family))}." for family in self.families]
        if self.without_ancestors:
            labels = ", ".join(map(str, self.without_ancestors))
            lines.append(f"Nothing implies label {labels}: as ancestors, what is implied in turn was swapped.")
        return "\n".join(lines)


def _verdict(row: Row) -> str:
    if not row["pairs"]:
        return "no pair whose labels differ has such a set"
    if not row["decided"]:
        return f"the graph decides none of {row['pairs']} pairs (undecided)"
    if row["coverage"] < COVERAGE:
        return f"the graph decides {row['decided']} of {row['pairs']} pairs, under {COVERAGE:.0%} (undecided)"
    accuracy = (
        f"the graph decides {row['decided']} of {row['pairs']} pairs and is right on {row['iia']:.3f} "
        f"[{row['iia_low']:.3f}, {row['iia_high']:.3f}]"
    )
    name = row["better"]
    value = row["base_label" if name == "base label" else "source_label"]
    low, high = row["over_better_low"], row["over_better_high"]
    verdict = "no better than" if high >= 0 else "worse than"
    return f"{accuracy}; {'better than' if low > 0 else verdict} saying the {name}, {value:.3f}"


def _share(count: int, n: int) -> float | None:
    return count / n if n else None
