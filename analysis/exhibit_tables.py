"""Tables of the papers, each from run documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from analysis import interventions
from analysis.gndi_table import PUBLISHED
from ndg.report.cli_tables import criterion
from ndg.report.tables import Column, Interval, Table
from ndg.runs.record import RunRecord
from ndg.workflows.studies.study_record import edges_table

Records = list[RunRecord]
MEASURES = {"pearson": "Pearson", "spearman": "Spearman", "kendall": "Kendall", "spearman_within": "within layers"}
RANDOM = "random"
"""Weights of the scoreboard beside which the published figures stand: those of an untrained network."""


def name_of(record: RunRecord) -> str:
    """Name and seed of a run."""
    return f"{record['name']}, seed {record['seeds']['seed']}"


def alignment(records: Records) -> list[Table]:
    """Interventions with their controls on test."""
    table = interventions.table(records)
    place = [column.title for column in table.columns].index("split")
    kept = [i for i, row in enumerate(table.rows) if row[place] == "test"]
    strong = frozenset(new for new, old in enumerate(kept) if old in table.strong)
    return [replace(table, title="Alignment on test", rows=tuple(table.rows[i] for i in kept), strong=strong)]


def of_edges(path: str, title: str) -> Callable[[Records], list[Table]]:
    """Table of edge figures of a study, a table per network."""
    return lambda records: [edges_table(f"{name_of(record)}: {title}", record.figure(path)) for record in records]


def of_rows(path: str, title: str, *columns: str) -> Callable[[Records], list[Table]]:
    """Table of rows in a result, a table per run that has it; `columns` chooses some."""

    def tables(records: Records) -> list[Table]:
        made = []
        for record in records:
            if (rows := record.figure(path)) is None:
                continue
            cells = [{key: row.get(key) for key in columns or row if not _nested(row.get(key))} for row in rows]
            made.append(Table.of_rows(f"{name_of(record)}: {title}", cells))
        return made

    return tables


def several(*makers: Callable[[Records], list[Table]]) -> Callable[[Records], list[Table]]:
    """The tables of several functions, in their order."""
    return lambda records: [table for make in makers for table in make(records)]


def _nested(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict) for each in value))


def boards(records: Records) -> list[Table]:
    """Correlations of scores with exact ablation, trained and random weights, beside published ones."""
    columns = {
        "network": Column("network", left=True),
        "weights": Column("weights", left=True),
        "score": Column("score", left=True),
        "n": Column("n", "units"),
        **{name: Column(title, "95 %") for name, title in MEASURES.items()},
        "published": Column("published", "Spearman, 95 %"),
    }
    rows = []
    for record in records:
        for weights, board in record.figure("results.scoreboard").items():
            for row in board["rows"]:
                if row.get("spearman") is None:
                    continue
                published = PUBLISHED.get(str(row.get("method"))) if weights == RANDOM else None
                rows.append({"network": name_of(record), "weights": weights, "score": row["method"], "n": row.get("n"),
                             **{name: cell(row, name) for name in MEASURES},
                             "published": published and Interval(*published[1:4])})  # fmt: skip
    note = "Correlations of absolute scores with exact ablation, over the units of all scored layers together."
    return [Table.of("Scores against exact ablation", columns, rows, note=note)]


def cell(row: Mapping[str, Any], name: str) -> Any:
    """A figure of a row, with its interval where the row has one."""
    ends = [row.get(f"{name}_{end}") for end in ("low", "high")]
    return row.get(name) if None in ends or row.get(name) is None else Interval(row[name], *ends)


def precision_rows(records: Records) -> list[Table]:
    """Mined and held-out precision and recall of each graph."""
    rows = [
        {
            "network": name_of(record),
            "criterion": criterion(record),
            "split": split,
            **record.figure(f"results.edges.{split}"),
        }
        for record in records
        for split in record.figure("results.edges")
    ]
    return [Table.of_rows("Precision and recall of the implications", rows)]


def filters(records: Records) -> list[Table]:
    """Correlation of filter scores with the drop of a logit, and a classifier on the best filters."""
    experiments = [each for record in records for each in record.figure("results.filters.experiments")]
    tables = []
    for title, key in (
        ("Scores of filters against the drop of the logit", "drop"),
        ("A classifier on few filters", "probe"),
    ):
        rows = [
            {"network": each["network"], "layer": each["layer"], **row} for each in experiments for row in each[key]
        ]
        tables.append(Table.of_rows(title, rows))
    return tables


def fitness(records: Records) -> list[Table]:
    """Largest and mean fitness of each layer, by measure."""
    rows = [
        {"network": name_of(record), "measure": stage["measure"], "layer": row["layer"], "units": len(row["values"]),
         "mean": float(np.mean(row["values"])), "largest": float(np.max(row["values"])),
         "unit": int(np.argmax(row["values"]))}
        for record in records
        for name, stage in record.figure("results.scores").items()
        if name.startswith("fitness")
        for row in stage["layers"]
    ]  # fmt: skip
    return [Table.of_rows("Fitness of units", rows)]


def sentiment(records: Records) -> list[Table]:
    """Units by the sentiment that they serve, and the words of which their conductance is largest."""
    tables = []
    for record in records:
        result = record.figure("results.sentiment")
        tables.append(Table.of_rows(f"{name_of(record)}: division of labour", result["division"], note=result["note"]))
        words = [{**row, "words": ", ".join(row["words"])} for row in result["words"]]
        tables.append(Table.of_rows(f"{name_of(record)}: words by conductance through a unit", words))
    return tables
