"""What a trial found: counts, rates with intervals, and whether the graph's choice beats the class prototype."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from ndg.abstraction.controls import BINARISE, GRAPH, PROTOTYPES
from ndg.abstraction.tally import Tally
from ndg.errors import ConfigError, nearest

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


@dataclass(frozen=True)
class Selectivity:
    """Aligned rate of the graph's choice minus that of a control of the same size, with its paired 95 % interval.

    `picked` says how the control was picked; picked as the better one on the same split, it favours the control.
    """

    value: float
    low: float
    high: float
    control: str
    picked: str


@dataclass(frozen=True)
class TrialResult:
    """Tallies of one intervention and its controls; those of the graph's choice also by true class and by alternative.

    `units` is the size of the layer, `no_ancestors` the classes that nothing implies, for which Q is G.2, `graph` the
    graph's digest; `reason` says why the executor was taken.
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

    @property
    def tally(self) -> Tally:
        """The counts of the graph's own choice."""
        return self.controls[GRAPH]

    @property
    def key(self) -> str:
        """The intervention's name as a key of the run log: `q`, `g1`, `g2`."""
        return self.intervention.lower().replace(".", "")

    def selectivity(self, against: str | None = None) -> Selectivity | None:
        """How much better the graph's choice aligns than a control: the one given, or the better prototype.

        None without originally correct examples. Raises ConfigError for an unknown control.
        """
        if against is not None and against not in self.controls:
            raise ConfigError(f"no control {against!r}; {nearest(against, self.controls)}")
        control = against or max(PROTOTYPES, key=lambda name: self.controls[name].aligned)
        advantage = self.controls[control].advantage
        picked = "as given" if against else "the better prototype on the same split"
        return Selectivity(*advantage, control, picked) if advantage else None

    def words(self) -> str:
        """A sentence when the graph's choice is not better than the class prototype of the same size, else nothing.

        Not better: the 95 % interval of the paired difference to the better prototype is not above zero.
        """
        where = self.intervention + (f" on {self.split}" if self.split else "")
        found = self.selectivity()
        if found is None:
            return f"{where}: the network predicts no example correctly, so nothing was on trial."
        if not self.tally.neurons_set:
            return f"{where}: the graph names no neuron of {self.layer}, so nothing but binarising was on trial."
        if found.low > 0:
            return ""
        mine, other = self.tally.rate("aligned"), self.controls[found.control].rate("aligned")
        return (
            f"{where}: the graph's choice of neurons is not better than the class prototype of the same size: aligned "
            f"{mine:.3f} against {other:.3f} ({found.control}), difference {found.value:+.3f} "
            f"[{found.low:+.3f}, {found.high:+.3f}]."
        )

    def rows(self, by: str = "control") -> list[Row]:
        """One row per control, or per `true` or `alternative` class for the graph's choice.

        Rates and their 95 % Wilson intervals are over the `n` originally correct examples; `kept_aligned` is over those
        that are also correct after binarising alone; numbers of neurons are means per example. None where n is zero.
        """
        groups: dict[str, dict[Any, Tally]] = {
            "control": dict(self.controls),
            "true": dict(enumerate(self.by_class)),
            "alternative": dict(enumerate(self.by_alternative)),
        }
        if by not in groups:
            raise ConfigError(f"rows are by {', '.join(groups)}; got {by!r}; {nearest(by, groups)}")
        head = {"intervention": self.intervention, "split": self.split}
        return [head | {by: name} | _row(tally) for name, tally in groups[by].items()]

    def frame(self, by: str = "control") -> pd.DataFrame:
        """`rows` as a pandas.DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows(by))

    def to_dict(self, against: str | None = None) -> dict[str, Any]:
        """Plain JSON types for the run log: figures of the graph's choice, then of each control; `counts` are exact."""
        found = self.selectivity(against)
        return {
            **_figures(self.tally),
            "kept": self.tally.kept,
            "kept_aligned": self.tally.kept_rate,
            "no_ancestors": list(self.no_ancestors),
            "selectivity": found.value if found else None,
            "selectivity_low": found.low if found else None,
            "selectivity_high": found.high if found else None,
            "selectivity_control": found.control if found else None,
            "selectivity_picked": found.picked if found else None,
            "controls": {name: _figures(tally) for name, tally in self.controls.items() if name != GRAPH},
            "counts": {name: tally.to_dict() for name, tally in self.controls.items()},
            "by_class": _columns(self.by_class),
            "by_alternative": _columns(self.by_alternative),
            "words": self.words(),
            "intervention": self.intervention,
            "layer": self.layer,
            "units": self.units,
            "split": self.split,
            "seed": self.seed,
            "graph": self.graph,
            "executor": self.executor,
            "executor_reason": self.reason,
        }

    def _repr_html_(self) -> str:
        heads = ("control", "aligned", "95 %", "changed", "unchanged", "contradictory", "set", "really changed", "n")
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(row, self.units)) + "</tr>"
            for row in self.rows()
        )
        split = f" on {self.split}" if self.split else ""
        caption = f"{self.intervention}{split}, layer {self.layer}: rates over the originally correct examples"
        head = "".join(f"<th>{title}</th>" for title in heads)
        table = f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
        return f"<table>{table}</table><p>{escape(self.words())}</p>"


def _row(tally: Tally) -> Row:
    low, high = tally.interval("aligned")
    return {
        "aligned": tally.rate("aligned"),
        "aligned_low": low,
        "aligned_high": high,
        "changed": tally.rate("changed"),
        "unchanged": tally.rate("unchanged"),
        "contradictory": tally.rate("contradictory"),
        "no_ancestors": tally.rate("no_ancestors"),
        "kept_aligned": tally.kept_rate,
        "neurons_set_mean": tally.rate("neurons_set"),
        "neurons_changed_mean": tally.rate("neurons_changed"),
        "n": tally.correct,
        "examples": tally.examples,
    }


def _figures(tally: Tally) -> dict[str, Any]:
    """The row of a tally under the names of the run log."""
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
