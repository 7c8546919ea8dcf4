"""Tables of importance scores: scoreboards, and units with disagreeing scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ndg.report.sections import rate, results
from ndg.report.tables import Column, Table

Row = Mapping[str, Any]

BOARD = {
    "network": Column("network", left=True),
    "method": Column("score", left=True),
    "pearson": Column("Pearson"),
    "spearman": Column("Spearman [95 %]"),
    "kendall": Column("Kendall"),
    "margin": Column("above the null [95 %]"),
    "pearson_within": Column("Pearson within"),
    "spearman_within": Column("Spearman within layers [95 %]"),
    "kendall_within": Column("Kendall within"),
    "range": Column("over trainings"),
    "n": Column("n", "units"),
    "n_within": Column("n within"),
    "seconds": Column("time", "s"),
    "passes": Column("passes", "forward + backward"),
}
BOARD_NOTE = (
    "Correlations of the absolute values of each score and of exact ablation on the same examples. Within layers: mean "
    "over layers, weighted by units, without layers that have fewer than three units or equal scores (n within: units "
    "of the others). Intervals: 95 %, from 1,000 bootstrap draws of units. The null only knows the mean damage of each "
    "layer; above the null: pooled Spearman minus that of the null, paired. passes: passes of the network with one "
    "compute batch, if the method reports them; rows: examples in partial passes (ablation, shapley), or passes of one "
    "example with a backward pass counted twice (fast_ablation)."
)
DISAGREEMENT = {
    "node": Column("unit", left=True),
    "kind": Column("", left=True),
    "score": Column("score", digits=4),
    "score_rank": Column("rank"),
    "damage": Column("damage", digits=4),
    "damage_rank": Column("damage rank"),
    "units": Column("n", "units of the layer"),
}
TOP = 15
"""Units in the table of disagreements."""
DISAGREEMENT_NOTE = (
    "saturated: the score is below a tenth of the damage, and the damage is above its layer's median; overstated: the "
    "reverse. ranked lower or higher: the ranks differ by at least half of the layer's units. Sorted by damage."
)


def scoreboard(rows: Sequence[Row], title: str = "Scores against exact ablation", note: str = BOARD_NOTE) -> Table:
    """Table of one or more scoreboards."""
    shown = [row for row in rows if not row.get("refused")]
    refused = dict.fromkeys(f"{row['method']}: {row['refused']}" for row in rows if row.get("refused"))
    partly = dict.fromkeys(f"{row['method']}: {row['partly']}" for row in rows if row.get("partly"))
    several = any((row.get("networks") or 1) > 1 for row in shown)
    columns = {key: column for key, column in BOARD.items() if key != "range" or several}
    note += f" Left out: {'; '.join(refused)}." if refused else ""
    note += f" On fewer layers: {'; '.join(partly)}." if partly else ""
    best = _best([{} if row.get("partly") else row for row in shown])
    return Table.of(title, columns, [_cells(row) for row in shown], note=note, strong=best)


def boards(record: Row) -> list[Table]:
    """Scoreboards of a run, and the units with disagreeing scores."""
    stages = results(record, "scoreboard")
    if not stages:
        return []
    table = scoreboard([row for stage in stages.values() for row in stage["rows"]])
    trained = stages.get("trained") or {}
    if not trained.get("first_order"):
        return [table]
    units = trained["disagreements"]
    return [table, disagreements(units["shown"], trained["first_order"], trained["network"], units["counts"])]


def disagreements(rows: Sequence[Row], score: str, network: str = "", counts: Mapping[str, int] | None = None) -> Table:
    """Units on which a first-order score and ablation disagree."""
    if counts is None:
        kinds = [row["kind"] for row in rows]
        counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    totals = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count) or "none"
    title = f"Units on which {score} and exact ablation disagree" + (f" in {network}" if network else "")
    return Table.of(title, DISAGREEMENT, rows[:TOP], note=f"Total: {totals}. {DISAGREEMENT_NOTE}")


def _cells(row: Row) -> dict[str, Any]:
    cells = {key: row.get(key) for key in BOARD}
    cells |= {key: rate(row, key) for key in ("spearman", "margin", "spearman_within")}
    forwards, backwards = row.get("forwards"), row.get("backwards")
    passes = None if forwards is None else f"{forwards:,.0f} + {backwards or 0:,.0f}"
    if row.get("passed") is not None:
        passes = f"{row['passed']:,.0f} rows"
    low, high = row.get("spearman_within_least"), row.get("spearman_within_most")
    range = None if low is None else f"{low:.3f} to {high:.3f} ({row['networks']})"
    return cells | {"passes": passes, "range": range}


def _best(rows: Sequence[Row]) -> frozenset[int]:
    """Row of the highest correlation within layers, for each network."""
    judged = [place for place, row in enumerate(rows) if row.get("spearman_within") is not None]
    judged.sort(key=lambda place: (rows[place]["spearman_within"], -place))  # the first of equals comes last
    return frozenset({rows[place]["network"]: place for place in judged}.values())
