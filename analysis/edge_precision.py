"""Precision of implications on each split (Table 3, Hu & Tian 2022).

    python -m analysis.edge_precision [--store URI] [--where JSON]

The criterion itself bounds precision on train from below; only the held-out splits are informative.
"""

from __future__ import annotations

import sys

from analysis.log import main
from ndg.report.cli_tables import criterion
from ndg.report.tables import Column, Table
from ndg.runs.record import RunRecord


def table(records: list[RunRecord]) -> Table:
    """One row per graph and split."""
    columns = {
        "name": Column("network", left=True),
        "rule": Column("criterion", left=True),
        "split": Column("split", left=True),
        "examples": Column("examples"),
        "judged": Column("implications", "judged"),
        "precision": Column("precision", "mean", digits=4),
        "recall": Column("recall", "mean", digits=4),
    }
    rows = [
        {"name": record["name"], "rule": criterion(record), "split": split, **record.figure(f"results.edges.{split}")}
        for record in records
        for split in ("train", "validation", "test")
    ]
    return Table.of("edge precision", columns, rows, note="judged: implications whose antecedent occurs in the split.")


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], table))
