"""Results of a trial: counts, rates and comparison with controls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ndg.abstraction.bootstrap import paired
from ndg.abstraction.controls import BINARISE, CHANCE, GRAPH, PROTOTYPES
from ndg.abstraction.curve import Curve
from ndg.abstraction.tally import Tally
from ndg.abstraction.verdict import KEPT, verdict
from ndg.errors import ConfigError, nearest
from ndg.escape import html as escape
from ndg.intervals import exact_paired, holm, rate
from ndg.plots import Plot, of_rows
from ndg.results import Result, Row, plain

ON_VALIDATION = "the strongest prototype on validation"
ON_THE_SAME = "the strongest prototype on the same split"


@dataclass(frozen=True)
class Selectivity:
    """Aligned rate of the graph's choice minus a control's.

    `low` and `high` are the 95 % paired bootstrap interval, `draws` the values under every draw, this one first.
    `picked` tells how the control was picked; picking it on the same split favours it.
    """

    value: float
    low: float
    high: float
    control: str
    picked: str
    draws: tuple[float, ...]
    p: float


@dataclass(frozen=True)
class TrialResult(Result):
    """Tallies of one intervention and its controls.

    `by_class` and `by_alternative` are of the graph's choice. `units` is the size of the layer, `no_ancestors` the
    classes that no literal implies (for which Q is G.2), `graph` the graph's digest; `reason` tells why the executor
    was chosen. `values` were fitted to `values_examples`. `drawn` holds tallies under further draws. `on_validation` is
    the strongest prototype of the validation split.

    >>> result = ndg.trial(net, graph, data, "G.2", fit=data)
    >>> result.frame()["control"].tolist()[:2]
    ['graph', 'binarise']
    """

    intervention: str
    controls: dict[str, Tally]
    by_class: tuple[Tally, ...]
    by_alternative: tuple[Tally, ...]
    no_ancestors: tuple[int, ...]
    layer: str
    units: int
    split: str
    seed: int
    graph: str
    executor: str
    reason: str
    beta: float | int = 1.0
    values: str = "boolean"
    values_reason: str = ""
    values_examples: int = 0
    drawn: tuple[dict[str, Tally], ...] = ()
    curve: Curve | None = None
    on_validation: str | None = None
    kept_at_least: float = KEPT
    p_holm: float | None = None
    tests: int = 1

    @property
    def tally(self) -> Tally:
        """The counts of the graph's own choice."""
        return self.controls[GRAPH]

    @property
    def key(self) -> str:
        """Key of the intervention in the run log: `q`, `g1`, `g2`."""
        return self.intervention.lower().replace(".", "")

    @property
    def chance(self) -> float:
        """The rate of a class drawn among all."""
        return 1 / len(self.by_class)

    @property
    def prototype(self) -> str:
        """The prototype control with the largest aligned rate."""
        return max((name for name in PROTOTYPES if name in self.controls), key=lambda name: self.controls[name].aligned)

    def picked(self, validation: TrialResult) -> TrialResult:
        """The result compared with validation's strongest prototype; ConfigError if unlike."""
        mine, other = ((trial.intervention, trial.layer, trial.graph) for trial in (self, validation))
        if mine != other:
            raise ConfigError(
                f"a control is picked on the same trial's validation split; expected {mine}, got {other}; give the "
                "result of the same intervention with the same graph"
            )
        return replace(self, on_validation=validation.prototype)

    def selectivity(self, against: str | None = None) -> Selectivity | None:
        """Difference of aligned rates between the graph and a control.

        The default control is the one picked on validation, else the strongest prototype. None without originally
        correct examples. Raises ConfigError for an unknown control. Further draws exist for prototypes alone.
        """
        if against is not None and against not in self.controls:
            raise ConfigError(f"no control {against!r}; {nearest(against, self.controls)}")
        control = against or self.on_validation or self.prototype
        tally = self.controls[control]
        difference = paired(
            tally.graph_only, tally.control_only, tally.correct, self.seed, self.intervention, self.split, control
        )
        if difference is None:
            return None
        how = "as given" if against else ON_VALIDATION if self.on_validation else ON_THE_SAME
        further = [tallies[control] for tallies in self.drawn if control in tallies]
        draws = [(own.graph_only - own.control_only) / own.correct for own in (tally, *further) if own.correct]
        p, *_ = exact_paired(tally.graph_only, tally.control_only, tally.correct)
        return Selectivity(*difference, control, how, tuple(draws), p)

    def words(self) -> str:
        """Comparison with the class prototype, in one sentence."""
        sentence = verdict(self._headline() | {"layer": self.layer})
        where = self.intervention + (f" on {self.split}" if self.split else "")
        return f"{where}: {sentence[0].lower()}{sentence[1:]}"

    def rows(self, by: str = "control") -> list[Row]:
        """One row per control and chance, or per class.

        With `true` or `alternative`, rows are the graph's choice by class. Rates and 95 % Wilson intervals are over the
        `n` originally correct examples (`kept_aligned`: those also correct after binarising), numbers of neurons are
        means per example. None where n is zero.
        """
        groups: dict[str, dict[Any, Tally]] = {
            "control": dict(self.controls),
            "true": dict(enumerate(self.by_class)),
            "alternative": dict(enumerate(self.by_alternative)),
        }
        if by not in groups:
            raise ConfigError(f"rows are by {', '.join(groups)}; got {by!r}; {nearest(by, groups)}")
        head = {"intervention": self.intervention, "split": self.split}
        rows = [head | {by: name} | _row(tally) for name, tally in groups[by].items()]
        if by == "control":
            rows.append(dict.fromkeys(rows[0]) | head | {by: CHANCE, "aligned": self.chance})
        return rows

    def plotted(self) -> Plot:
        """Its alignment curve, or without one the aligned rate of each control."""
        title = f"{self.intervention}{f' on {self.split}' if self.split else ''}: aligned"
        return self.curve.plotted() if self.curve else of_rows(title, [row for row in self.rows() if row["n"]])

    def to_dict(self, against: str | None = None) -> dict[str, Any]:
        """Plain JSON types for the run log; `counts` are exact."""
        return {
            **self._headline(against),
            "chance": self.chance,
            "kept_aligned": self.tally.kept_rate,
            "no_ancestors": list(self.no_ancestors),
            "counts": {name: tally.to_dict() for name, tally in self.controls.items()},
            "draws": [{name: tally.to_dict() for name, tally in drawn.items()} for drawn in self.drawn],
            "curve": self.curve.to_dict() if self.curve else None,
            "by_class": _columns(self.by_class),
            "by_alternative": _columns(self.by_alternative),
            "words": self.words(),
            **plain(self, "intervention", "layer", "units", "split", "seed"),
            "beta": float(self.beta),
            "values_reason": self.values_reason,
            "values_examples": self.values_examples,
            **plain(self, "graph", "executor"),
            "executor_reason": self.reason,
        }

    def _headline(self, against: str | None = None) -> dict[str, Any]:
        """The figures that a verdict is drawn from."""
        selectivity = self.selectivity(against)
        facts = ("low", "high", "control", "picked")
        return {
            **_figures(self.tally),
            "kept": self.tally.kept,
            "kept_at_least": self.kept_at_least,
            "values": self.values,
            "selectivity": selectivity.value if selectivity else None,
            **{f"selectivity_{name}": getattr(selectivity, name, None) for name in facts},
            "selectivity_draws": list(selectivity.draws) if selectivity else [],
            "selectivity_p": selectivity.p if selectivity else None,
            "selectivity_p_holm": (selectivity.p if against or self.p_holm is None else self.p_holm)
            if selectivity
            else None,
            "selectivity_tests": 1 if against else self.tests,
            "controls": {name: _figures(tally) for name, tally in self.controls.items() if name != GRAPH},
        }

    def _repr_html_(self) -> str:
        heads = ("control", "aligned", "95 %", "changed", "unchanged", "contradictory", "set", "really changed", "n")
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(row, self.units)) + "</tr>"
            for row in self.rows()
            if row["n"] is not None
        )
        split = f" on {self.split}" if self.split else ""
        caption = (
            f"{self.intervention}{split}, layer {self.layer}: rates over the originally correct examples; chance is "
            f"{self.chance:.3f}"
        )
        head = "".join(f"<th>{title}</th>" for title in heads)
        table = f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
        return f"<table>{table}</table><p>{escape(self.words())}</p>"


def corrected(results: Mapping[str, TrialResult]) -> dict[str, TrialResult]:
    """The results of one run, with p-values corrected over its interventions."""
    p_values = [1.0 if (tested := result.selectivity()) is None else tested.p for result in results.values()]
    return {
        name: replace(result, p_holm=p, tests=len(results))
        for (name, result), p in zip(results.items(), holm(p_values), strict=True)
    }


def _row(tally: Tally) -> Row:
    return {
        **rate("aligned", tally.aligned, tally.correct),
        **{name: tally.rate(name) for name in ("changed", "unchanged", "contradictory", "no_ancestors")},
        "kept_aligned": tally.kept_rate,
        "neurons_set_mean": tally.rate("neurons_set"),
        "neurons_changed_mean": tally.rate("neurons_changed"),
        "n": tally.correct,
        "examples": tally.examples,
    }


def _figures(tally: Tally) -> dict[str, Any]:
    """The run log's row of a tally."""
    row = _row(tally)
    names = ("aligned", "aligned_low", "aligned_high", "changed", "unchanged", "contradictory", "n", "examples")
    means = {name: row[f"{name}_mean"] for name in ("neurons_set", "neurons_changed")}
    return {name: row[name] for name in names} | means


def _columns(tallies: tuple[Tally, ...]) -> dict[str, list[int]]:
    names = {"n": "correct", "aligned": "aligned", "changed": "changed", "unchanged": "unchanged"}
    return {name: [getattr(tally, count) for tally in tallies] for name, count in names.items()}


def _cells(row: Row, units: int) -> list[str]:
    def number(value: float | None, digits: int = 3) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    return [
        row["control"],
        number(row["aligned"]),
        f"{number(row['aligned_low'])} to {number(row['aligned_high'])}",
        *(number(row[name]) for name in ("changed", "unchanged", "contradictory")),
        f"{number(row['neurons_set_mean'], 1)} of {units}" if row["control"] != BINARISE else "none",
        number(row["neurons_changed_mean"], 1),
        f"{row['n']:,} of {row['examples']:,}",
    ]
