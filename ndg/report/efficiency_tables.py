"""Tables of an efficiency report."""

from __future__ import annotations

from ndg.efficiency.result import EfficiencyComparison, EfficiencyReport
from ndg.report.tables import Column, Table
from ndg.results import Result

LAYERS = {
    "layer": Column("layer", left=True),
    "kind": Column("kind", left=True),
    "importance": Column("importance", left=True),
    "units": Column("units"),
    "weights": Column("weights"),
    "removable": Column("removable share", "units"),
    "k99": Column("k99"),
    "effective_rank": Column("effective rank", digits=1),
    "participation": Column("participation", digits=1),
    "utilisation": Column("utilisation"),
    "null_utilisation": Column("fresh"),
    "gini": Column("Gini"),
    "null_gini": Column("fresh"),
    "redundancy": Column("redundancy"),
    "null_redundancy": Column("fresh"),
    "sparsity_1e2": Column("sparsity 1e-2"),
    "coverage_50": Column("coverage 50 %"),
    "coverage_90": Column("coverage 90 %"),
    "flops": Column("FLOPs", "1 example"),
    "microseconds": Column("time", "µs"),
    "kilobytes": Column("weights", "kB", digits=1),
    "read_by": Column("read by", left=True),
    "note": Column("note", left=True),
}
SHORT = (
    "layer", "kind", "units", "weights", "removable", "k99", "utilisation", "null_utilisation", "gini", "null_gini",
    "flops", "microseconds",
)  # fmt: skip
"""Columns of the command line."""
NOTE = (
    "removable share: units whose least-squares removal adds less than 1 % of the variance of the next layer's "
    "pre-activations; of attention heads and hidden units where the note says so; of a residual width by the mean over "
    "its readers; unknown where no layer with weights reads them. k99: directions with 99 % of the activations' "
    "variance. utilisation, Gini, redundancy: of the importance of the weights; fresh: of the same layer freshly "
    "initialised, so only the difference speaks of the training. FLOPs and time are of one example, time as measured."
)


def layers(report: EfficiencyReport, short: bool = False) -> Table:
    """One row per layer and importance."""
    columns = {name: LAYERS[name] for name in SHORT} if short else dict(LAYERS)
    if short and len(report.importances) > 1:
        columns = {"layer": LAYERS["layer"], "importance": LAYERS["importance"]} | columns
    if not short and not any(row["note"] for row in report.rows()):
        columns.pop("note")
    rows = [
        row
        | {"microseconds": None if row["seconds"] is None else row["seconds"] * 1e6, "kilobytes": row["bytes"] / 1e3}
        for row in report.rows()
    ]
    return Table.of(f"Efficiency of the layers of {report.name}", columns, rows, note=NOTE)


def every(report: EfficiencyReport) -> list[Table]:
    """Tables of the layers, the network, recommendations, heads and paths."""
    tables = [layers(report), Table.of_rows("The network as a whole", report.rows("network"))]
    titles = {"recommendations": "Units to remove", "heads": "Attention heads", "paths": "Strongest paths"}
    for name, title in titles.items():
        if rows := report.rows(name):
            tables.append(Table.of_rows(title, rows, leave=("units",) if name == "paths" else ()))
    return tables


def applied(result: Result) -> Table:
    """The original beside the smaller network.

    Seconds are those of one compute batch.
    """
    return Table.of_rows("Recommendations carried out", result.rows(), titles={"seconds": "seconds of one batch"})


def compared(comparison: EfficiencyComparison) -> Table:
    """Two networks side by side."""
    return Table.of_rows("Two networks side by side", comparison.rows(), note=comparison.words())
