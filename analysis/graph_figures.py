"""Table 2 of Hu & Tian 2022: figures of each graph and of its condensation.

python -m analysis.graph_figures [--store URI] [--where JSON]
"""

from __future__ import annotations

import sys

from analysis.log import main
from ndg.report.cli_tables import criterion
from ndg.report.tables import Column, Table
from ndg.runs.record import RunRecord

FIGURES = ("neurons", "nodes", "edges", "isolated", "equivalent", "constant", "mean_degree", "height", "cycles",
           "contradictions", "components")  # fmt: skip


def table(records: list[RunRecord]) -> Table:
    """Two rows per graph: the paper's (pairwise equivalence) and the condensed one."""
    columns = {"name": Column("network", left=True), "criterion": Column("criterion", left=True)}
    columns |= {"graph": Column("graph", left=True)}
    columns |= {name: Column(name.replace("_", " "), digits=2) for name in FIGURES}
    rows = []
    for record in records:
        for kind in ("paper", "condensed"):
            figures = record.figure(f"results.graph.{kind}")
            rows.append({"name": record["name"], "criterion": criterion(record), "graph": kind, **figures})
    note = "paper: literals as nodes, equivalent pairs removed from the edges."
    return Table.of("graph figures", columns, rows, note=note)


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], table))
