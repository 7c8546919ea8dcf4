"""Tables of importance: scoreboards against exact ablation, and the units on which scores disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ndg.report.sections import results
from ndg.report.tables import Column, Interval, Table

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
    "Absolute values of each score against those of exact ablation on the same examples. Within layers: the mean of "
    "the layers' own correlations, weighted by their units; layers of fewer than three units, or in which all units "
    "score the same, have none (n within: units of the others). Intervals: 95 %, over 1,000 bootstrap draws of units. "
    "The null knows the mean damage of each layer and nothing of its units; above the null: pooled Spearman less the "
    "null's, paired. passes: of the network with one compute batch, where the method tells; rows: those of the partial "
    "passes of ablation and shapley, and passes of one example, of which a backward one counts 2, of fast_ablation."
)
APART = {
    "node": Column("unit", left=True),
    "kind": Column("", left=True),
    "score": Column("score", digits=4),
    "score_rank": Column("rank"),
    "damage": Column("damage", digits=4),
    "damage_rank": Column("rank of the damage"),
    "units": Column("n", "units of the layer"),
}
APART_NOTE = (
    "saturated: the score is below a tenth of the damage, which is above its layer's median; overstated: the reverse. "
    "ranked lower or higher: the ranks differ by at least half of the layer's units. The largest damage comes first."
)


def scoreboard(rows: Sequence[Row], title: str = "Scores against exact ablation", note: str = BOARD_NOTE) -> Table:
    """Rows of one or more scoreboards; methods that refused these layers or data are told in the note."""
    shown = [row for row in rows if not row.get("refused")]
    refused = dict.fromkeys(f"{row['method']}: {row['refused']}" for row in rows if row.get("refused"))
    columns = {key: column for key, column in BOARD.items() if key != "range" or any(map(_several, shown))}
    if refused:
        note += f" Left out: {'; '.join(refused)}."
    partly = dict.fromkeys(f"{row['method']}: {row['partly']}" for row in rows if row.get("partly"))
    if partly:
        note += f" On fewer layers: {'; '.join(partly)}."
    best = _best([{} if row.get("partly") else row for row in shown])
    return Table.of(title, columns, [_cells(row) for row in shown], note=note, strong=best)


def boards(record: Row) -> list[Table]:
    """The scoreboards of a run, of the network and of random weights, and the units of the network that stand out."""
    found = results(record, "scoreboard")
    if not found:
        return []
    rows = [row for board in found.values() for row in board["rows"]]
    own = found.get("trained") or {}
    if not own.get("first_order"):
        return [scoreboard(rows)]
    apart = own["disagreements"]
    return [scoreboard(rows), disagreements(apart["shown"], own["first_order"], own["network"], apart["counts"])]


def disagreements(
    rows: Sequence[Row], score: str, network: str = "", counts: Mapping[str, int] | None = None, limit: int = 15
) -> Table:
    """The units on which a first-order score and ablation disagree, and how many there are of each kind."""
    if counts is None:
        kinds = [row["kind"] for row in rows]
        counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    told = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count) or "none"
    where = f" in {network}" if network else ""
    return Table.of(
        f"Units on which {score} and exact ablation disagree{where}",
        APART,
        rows[:limit],
        note=f"In all: {told}. {APART_NOTE}",
    )


def _cells(row: Row) -> dict[str, Any]:
    cells = {key: row.get(key) for key in BOARD}
    cells |= {key: _interval(row, key) for key in ("spearman", "margin", "spearman_within")}
    forwards, backwards = row.get("forwards"), row.get("backwards")
    passes = None if forwards is None else f"{forwards:,.0f} + {backwards or 0:,.0f}"
    if row.get("passed") is not None:
        passes = f"{row['passed']:,.0f} rows"
    low, high = row.get("spearman_within_least"), row.get("spearman_within_most")
    range = None if low is None else f"{low:.3f} to {high:.3f} ({row['networks']})"
    return cells | {"passes": passes, "range": range}


def _interval(row: Row, key: str) -> Interval | float | None:
    value, low, high = (row.get(name) for name in (key, f"{key}_low", f"{key}_high"))
    return value if value is None or low is None or high is None else Interval(value, low, high)


def _several(row: Row) -> bool:
    return (row.get("networks") or 1) > 1


def _best(rows: Sequence[Row]) -> frozenset[int]:
    """The rows of highest correlation within layers, one for each network."""
    best: dict[str, int] = {}
    for place, row in enumerate(rows):
        value = row.get("spearman_within")
        if value is None:
            continue
        other = best.get(row["network"])
        if other is None or value > rows[other]["spearman_within"]:
            best[row["network"]] = place
    return frozenset(best.values())
