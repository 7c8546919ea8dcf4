"""Interventions of Hu & Tian 2022 with their controls, on every split.

python -m analysis.interventions [--store URI] [--where JSON]
"""

from __future__ import annotations

import sys

from analysis.log import main
from ndg.report.cli_tables import criterion
from ndg.report.sections import CONTROLS
from ndg.report.tables import Column, Interval, Table
from ndg.runs.record import RunRecord


def table(records: list[RunRecord]) -> Table:
    """One row per graph, intervention, split and control."""
    columns = {
        "name": Column("network", left=True),
        "rule": Column("criterion", left=True),
        "intervention": Column("intervention", left=True),
        "split": Column("split", left=True),
        "control": Column("choice", left=True),
        "aligned": Column("aligned", "95 %"),
        "changed": Column("changed"),
        "unchanged": Column("unchanged"),
        "neurons_set": Column("set", "neurons", digits=1),
        "neurons_changed": Column("changed", "neurons", digits=1),
        "n": Column("n"),
    }
    rows, strong = [], set()
    for record in records:
        for trial in record["results"]["trial"].values():
            for split, figures in trial.items():
                strong.add(len(rows))
                for control, row in {"graph": figures, **figures["controls"]}.items():
                    ends = Interval(row["aligned"], row["aligned_low"], row["aligned_high"]) if row["n"] else None
                    names = {"name": record["name"], "rule": criterion(record)}
                    names |= {"intervention": figures["intervention"], "split": split}
                    rows.append({**row, **names, "control": CONTROLS.get(control, control), "aligned": ends})
    return Table.of("interventions", columns, rows, strong=frozenset(strong))


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], table))
