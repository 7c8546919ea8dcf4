"""Results of an efficiency report: one row per layer or part and importance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ndg.efficiency import metrics as m
from ndg.efficiency.metrics import Metrics
from ndg.errors import ConfigError
from ndg.plots import Plot, Series
from ndg.results import Result, Row

WIDTH = "residual width"
TABLES = ("layers", "heads", "network", "paths", "recommendations")
SHORT = ("utilisation", "gini", "redundancy")
"""Metrics that a notebook shows."""


@dataclass(frozen=True)
class LayerEfficiency:
    """Efficiency of one part by one importance.

    `removable` is the share of the units whose least-squares removal adds less than 1 % of the variance of the next
    pre-activations; None where what takes them is no layer with weights (`read_by` or `note` says what). `removes` says
    of what it is a share: unit, head, hidden unit or residual width; `group` names these `group_units` where a part
    does not make them alone. `flops` are those of one example
    in the whole module, `seconds` the measured time of one example, `bytes` those of the weights, `activation_bytes`
    those of one example's outputs. `null` are the metrics of the same layer freshly initialised. `errors` are relative
    errors of removal at equal steps of the share of units, `lorenz` and `histogram` describe the importance.
    """

    layer: str
    kind: str
    importance: str
    units: int
    metrics: Metrics
    null: Metrics
    removable: float | None
    k99: int | None
    effective_rank: float | None
    participation: float | None
    read_by: str
    flops: int | None
    seconds: float | None
    bytes: int
    activation_bytes: int
    note: str = ""
    lorenz: tuple[float, ...] = ()
    histogram: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()
    removes: str = "unit"
    group: str = ""
    group_units: int = 0

    def row(self) -> Row:
        """One row of plain values, each metric beside its null."""
        row: Row = {"layer": self.layer, "kind": self.kind, "importance": self.importance, "units": self.units}
        row |= {"weights": self.metrics.weights, "removable": self.removable, "k99": self.k99}
        row |= {"effective_rank": self.effective_rank, "participation": self.participation, "read_by": self.read_by}
        for name in m.NAMES[1:]:
            row |= {name: getattr(self.metrics, name), f"null_{name}": getattr(self.null, name)}
        row |= {"flops": self.flops, "seconds": self.seconds, "bytes": self.bytes}
        row |= {"activation_bytes": self.activation_bytes, "removes": self.removes, "note": self.note}
        return row


@dataclass(frozen=True)
class HeadEfficiency:
    """Efficiency of one attention head's weights in one projection.

    `share` of the projection's importance.
    """

    layer: str
    kind: str
    importance: str
    head: int
    share: float
    metrics: Metrics

    def row(self) -> Row:
        """One row of plain values."""
        row: Row = {"layer": self.layer, "kind": self.kind, "importance": self.importance, "head": self.head}
        return row | {"share": self.share} | asdict(self.metrics)


@dataclass(frozen=True)
class Recommendation:
    """Units that can be removed from a layer: how many, and why.

    `note` says where the examples are few for so many units.
    """

    layer: str
    units: int
    remove: int
    removable: float
    k99: int | None
    kind: str = "unit"
    note: str = ""

    def words(self) -> str:
        """The recommendation in one sentence."""
        text = (
            f"Remove {self.remove} of the {self.units} {self.kind}s of {self.layer}: {self.removable:.0%} of them add "
            "less than 1 % of the variance of the next layer"
        )
        directions = "" if self.k99 is None else f", and {self.k99} directions hold 99 % of the activations"
        return f"{text}{directions}{self.note and f' (uncertain: {self.note})'}."


LEAST = 0.05
"""Smallest share of a layer's units that a recommendation removes."""
DRAWN = 8
"""Most Lorenz curves in one plot."""
KEPT = 2
"""Units that every layer keeps."""


@dataclass(frozen=True, eq=False)
class EfficiencyReport(Result):
    """How much of each layer is used, beside fresh layers of the same shape.

    `rows("heads")` are those of attention heads, `rows("network")` the global metrics by importance, `rows("paths")`
    the pathways, `rows("recommendations")` the units to remove.
    """

    name: str
    layers: tuple[LayerEfficiency, ...]
    heads: tuple[HeadEfficiency, ...]
    examples: int
    parameters: int
    flops: int
    seed: int
    pathways: Any = None

    def rows(self, table: str = "layers") -> list[Row]:
        """Rows of a table: layers, heads, network, paths or recommendations."""
        if table not in TABLES:
            raise ConfigError(f"tables of a report are {', '.join(TABLES)}; got {table!r}; name one of them")
        if table == "network":
            return [self.of_network(kind) for kind in self.importances]
        if table == "recommendations":
            return [asdict(each) for each in self.recommendations()]
        if table == "paths":
            return [] if self.pathways is None else list(self.pathways.rows())
        return [each.row() for each in (self.layers if table == "layers" else self.heads)]

    @property
    def importances(self) -> tuple[str, ...]:
        """Kinds of importance, in the requested order."""
        return tuple(dict.fromkeys(layer.importance for layer in self.layers))

    def of_importance(self, kind: str) -> list[LayerEfficiency]:
        """Layers by one importance."""
        return [layer for layer in self.layers if layer.importance == kind]

    def of_network(self, kind: str) -> Row:
        """Global metrics by one importance, with those of the fresh network."""
        layers = self.of_importance(kind)
        metrics, nulls = [layer.metrics for layer in layers], [layer.null for layer in layers]
        own = [layer for layer in layers if layer.removes == "unit"]
        units = [(layer.removable, layer.units) for layer in own if layer.removable is not None]
        read = sum(count for _, count in units)
        return {
            "importance": kind,
            "layers": len(layers),
            "weights": sum(layer.weights for layer in metrics),
            "compression_potential": m.compression_potential(metrics),
            "null_compression_potential": m.compression_potential(nulls),
            "mean_redundancy": m.mean_redundancy(metrics),
            "null_mean_redundancy": m.mean_redundancy(nulls),
            "removable": sum(share * count for share, count in units) / read if read else None,
            "removable_of_units": read,
            "parameters": self.parameters,
            "flops": self.flops,
        }

    def recommendations(self) -> tuple[Recommendation, ...]:
        """Units to remove by layer, most first.

        As many as the removable share says, but not below the k99 directions that the activations have. Heads and
        hidden units go by the share alone; residual width stays, as its removal is not exact.
        """
        chosen: dict[str, Recommendation] = {}
        for layer in self.of_importance(self.importances[0]) if self.importances else ():
            if layer.removable is None or layer.k99 is None or layer.removes == WIDTH:
                continue
            k99 = None if layer.group else layer.k99
            name, units = (layer.group, layer.group_units) if layer.group else (layer.layer, layer.units)
            remove = min(int(layer.removable * units + 1e-9), units - max(k99 or 0, KEPT))
            if remove >= max(LEAST * units, 1):
                few = next((note for note in layer.note.split("; ") if " are few for " in note), "")
                chosen[name] = Recommendation(name, units, remove, layer.removable, k99, layer.removes, few)
        return tuple(sorted(chosen.values(), key=lambda each: -each.remove / each.units))

    def left_alone(self) -> tuple[tuple[str, float], ...]:
        """Residual widths with a removable share, which no recommendation takes up, by their first layer."""
        layers = self.of_importance(self.importances[0]) if self.importances else []
        shares = {layer.group: layer.removable for layer in layers if layer.removes == WIDTH}
        return tuple((name, share) for name, share in shares.items() if share)

    def words(self) -> str:
        """What can be removed, and the source's global metrics beside their nulls."""
        sentences = [each.words() for each in self.recommendations()]
        if not sentences:
            sentences = ["No layer has units whose removal is predicted to change nothing."]
        sentences += [
            f"The residual width that {name} shares has a removable share of {share:.0%}, and is not recommended: "
            "units of a residual width cannot be removed exactly."
            for name, share in self.left_alone()
        ]
        for kind in self.importances:
            row = self.of_network(kind)
            sentences.append(
                f"By {kind} importance the compression potential is {row['compression_potential']:.3f} and the mean "
                f"redundancy {row['mean_redundancy']:.3f}, in a fresh network {row['null_compression_potential']:.3f} "
                f"and {row['null_mean_redundancy']:.3f}, on {self.examples} examples."
            )
        return " ".join(sentences)

    def context(self) -> Row:
        facts: Row = {"name": self.name, "examples": self.examples, "parameters": self.parameters, "flops": self.flops}
        tables = {table: self.rows(table) for table in TABLES[1:]}
        return facts | {"seed": self.seed} | tables

    def plotted(self) -> Plot:
        """Lorenz curves of the importance of the weights, of the layers with most weights."""
        kind = self.importances[0]
        layers = sorted(self.of_importance(kind), key=lambda layer: -layer.metrics.weights)[:DRAWN]
        series = (
            Series(layer.layer, tuple(np.linspace(0, 1, len(layer.lorenz)).tolist()), layer.lorenz)
            for layer in layers
            if layer.lorenz
        )
        shares = "share of the weights, least important first", "share of the importance"
        return Plot(f"Lorenz curves by {kind} importance", *shares, tuple(series), diagonal=True)

    def shown(self) -> list[Row]:
        """The main columns of the layers."""
        columns = ("layer", "kind", "importance", "units", "weights", "removable", "k99", "effective_rank")
        names = [*columns, *(name for each in SHORT for name in (each, f"null_{each}")), "flops", "note"]
        return [{name: row[name] for name in names} for row in self.rows()]


@dataclass(frozen=True, eq=False)
class EfficiencyComparison(Result):
    """Two reports side by side, layer by layer."""

    first: EfficiencyReport
    second: EfficiencyReport

    def rows(self) -> list[Row]:
        """One row per layer and importance.

        A layer that one network lacks has None.
        """
        both = [{(each.layer, each.importance): each.row() for each in report.layers} for report in self._reports]
        names = self._names
        rows = []
        for key in dict.fromkeys([*both[0], *both[1]]):
            row: Row = {"layer": key[0], "importance": key[1]}
            for figure in ("units", "weights", "removable", "k99", *SHORT, "flops", "seconds"):
                for name, layers in zip(names, both, strict=True):
                    row[f"{figure} {name}"] = layers[key][figure] if key in layers else None
            rows.append(row)
        return rows

    @property
    def _reports(self) -> tuple[EfficiencyReport, EfficiencyReport]:
        return self.first, self.second

    @property
    def _names(self) -> tuple[str, str]:
        first, second = (report.name for report in self._reports)
        return (first, second) if first != second else (f"{first} (1)", f"{second} (2)")

    def words(self) -> str:
        """Size and removable share of both networks."""
        sentences = []
        for name, report in zip(self._names, self._reports, strict=True):
            share = report.of_network(report.importances[0])["removable"]
            removable = "unknown" if share is None else f"{share:.1%}"
            sentences.append(
                f"{name}: {report.parameters:,} parameters, {report.flops:,} FLOPs, removable units {removable}."
            )
        return " ".join(sentences)

    def context(self) -> Row:
        return {"networks": [report.name for report in self._reports]}


def points(values: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    """Figures as plain floats."""
    return tuple(float(value) for value in values)
