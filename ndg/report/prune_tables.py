"""Tables of a pruning: steps by validation, last networks by test."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from ndg.report.tables import Column, Interval, Table

Row = Mapping[str, Any]

STEPS = {
    "method": Column("removed by", left=True),
    "draw": Column("draw"),
    "step": Column("step"),
    "share": Column("share gone", digits=3),
    "gone": Column("units or weights gone"),
    "parameters": Column("parameters left"),
    "n": Column("n", "validation"),
    "pruned": Column("accuracy before tuning [95 %]"),
    "tuned": Column("after tuning [95 %]"),
    "epoch": Column("epoch kept"),
}
FINAL = {
    "method": Column("removed by", left=True),
    "parameters": Column("parameters left"),
    "n": Column("n", "test"),
    "before": Column("accuracy of the whole network [95 %]"),
    "accuracy": Column("accuracy pruned [95 %]"),
    "agreement": Column("agreement [95 %]"),
}
NOTE = (
    "Fine-tuning on the training split; the epoch is chosen on the validation split, 0 means that no epoch was better. "
    "none: nothing is removed, with the same fine-tuning. random: other units or weights of the same number."
)
FINAL_NOTE = (
    "The test split is used here only. agreement: share of predictions that stay as they were before pruning. "
    "Intervals: Wilson, of random removals over draws (Student)."
)


def tables(record: Mapping[str, Any]) -> list[Table]:
    """Both tables of a run document."""
    results = record["results"]["prune"]
    return [
        Table.of("the last networks", FINAL, [_cells(row, FINAL) for row in results["final"]], note=FINAL_NOTE),
        Table.of("steps", STEPS, [_cells(row, STEPS) for row in results["steps"]], note=NOTE),
    ]


def csv_text(rows: Sequence[Row]) -> str:
    """CSV text of the steps."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _cells(row: Row, columns: Mapping[str, Column]) -> dict[str, Any]:
    """Values with their intervals in one cell."""
    cells = {}
    for name in columns:
        value, low, high = row.get(name), row.get(f"{name}_low"), row.get(f"{name}_high")
        cells[name] = value if None in (value, low, high) else Interval(*map(float, (value, low, high)))  # type: ignore[arg-type]
    return cells
