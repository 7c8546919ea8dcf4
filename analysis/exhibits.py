"""The papers' tables and figures, each from the run log alone.

An exhibit names its source, the commands that log what it needs, and how its tables and plots are made of the newest
complete runs of each network. `python -m analysis.reproduce` writes all of them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis import graph_figures, interventions
from analysis.gndi_table import PUBLISHED
from ndg.causal.accuracy import COVERED, by_coverage
from ndg.compression.iterative import curves
from ndg.plots import Plot, Series, by
from ndg.report.cli_tables import criterion
from ndg.report.tables import Interval, Table
from ndg.runs.record import RunRecord
from ndg.workflows.studies.study_record import edges_table

NDG_PAPER, GNDI_PAPER = "Hu & Tian 2022", "Nagy 2025"
BINS = 40
"""Bins of a histogram."""
ZOOM = (0.99, 1.0005)
"""Precisions of the second box plot."""
NOT_AT_HAND = "not at hand: the paper's text is not in this repository"

Records = list[RunRecord]


@dataclass(frozen=True)
class Exhibit:
    """A table or a figure of a paper.

    `kind` is the kind of its runs, `needs` the commands of `ndg` that log them, `published` the published figure where
    it is known, `why` why ours may differ. `tables` and `plots` read run documents and files of their folders; `graphs`
    draws the graph of each run, filled by the prior.
    """

    name: str
    source: str
    kind: str
    needs: tuple[str, ...]
    why: str
    tables: Callable[[Records], list[Table]] = lambda records: []
    plots: Callable[[Records], list[Plot]] = lambda records: []
    graphs: bool = False
    published: str = NOT_AT_HAND
    paths: tuple[str, ...] = ()
    """Results without which a run does not count."""

    def of(self, records: Sequence[RunRecord]) -> Records:
        """The newest run of each network and seed that has the results."""
        newest: dict[str, RunRecord] = {}
        for record in records:  # newest first
            complete = record["kind"] == self.kind and all(record.figure(path) is not None for path in self.paths)
            if complete:
                newest.setdefault(f"{record['name']} {record['seeds']['seed']}", record)
        return list(newest.values())


def name_of(record: RunRecord) -> str:
    """Name and seed of a run."""
    return f"{record['name']}, seed {record['seeds']['seed']}"


def edges(record: RunRecord) -> list[dict[str, float]]:
    """Mined and held-out precision of each implication that can be judged."""
    with (record.folder / "edges.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["precision"]]
    return [{key: float(row[key]) for key in ("mined_precision", "precision")} for row in rows]


def cloud(records: Records) -> list[Plot]:
    """Held-out against mined precision of each implication."""
    series = tuple(Series.of(name_of(record), edges(record), "mined_precision", "precision") for record in records)
    return [Plot("Precision of implications", "mined", "held out", series, "points", diagonal=True)]


def boxes(records: Records) -> list[Plot]:
    """Box plots of precision, whole and zoomed."""
    series = []
    for record in records:
        for kind, key in (("mined", "mined_precision"), ("held out", "precision")):
            values = tuple(row[key] for row in edges(record))
            series.append(Series(f"{name_of(record)}, {kind}", tuple(range(len(values))), values))
    whole = Plot("Precision of implications", "", "precision", tuple(series), "boxes")
    return [whole, replace(whole, title=f"Precision of implications, {ZOOM[0]} to 1", limits=ZOOM)]


def histograms(records: Records) -> list[Plot]:
    """Share of the implications by precision, mined and held out."""
    series = []
    for record in records:
        rows = edges(record)
        low = min((row["precision"] for row in rows), default=0.0)
        for kind, key in (("mined", "mined_precision"), ("held out", "precision")):
            counts, ends = np.histogram([row[key] for row in rows], BINS, (min(low, 0.99), 1.0))
            centres = tuple(((ends[1:] + ends[:-1]) / 2).tolist())
            shares = tuple((counts / max(counts.sum(), 1)).tolist())
            series.append(Series(f"{name_of(record)}, {kind}", centres, shares))
    return [Plot("Precision of implications", "precision", f"share, in {BINS} bins", tuple(series))]


def sweep_rows(record: RunRecord) -> list[dict[str, Any]]:
    """Held-out rows of a sweep at one beta, by rising alpha."""
    rows = [row for row in record.figure("results.sweep.rows") if row["split"] != "validation"]
    return sorted((row for row in rows if row["beta"] == rows[0]["beta"]), key=lambda row: row["alpha"])


def ribbons(records: Records) -> list[Plot]:
    """Mean held-out precision against alpha, with quartiles."""
    series = tuple(
        Series.of(f"{record['name']}, {name}", rows, "log_alpha", "precision", ("precision_q1", "precision_q3"))
        for record in records
        for name, rows in _by_run(record)
    )
    return [Plot("Held-out precision: mean and quartiles", "decimal logarithm of alpha", "precision", series)]


def counts(records: Records) -> list[Plot]:
    """Edges against alpha, with and without mutual dependencies."""
    series = []
    for record in records:
        for name, rows in _by_run(record):
            head = f"{record['name']}, {name}"
            series.append(Series.of(f"{head}: all", rows, "log_alpha", "implications"))
            series.append(Series.of(f"{head}: without mutual ones", rows, "log_alpha", "one_way"))
    return [Plot("Edges against alpha", "decimal logarithm of alpha", "edges", tuple(series))]


def _by_run(record: RunRecord) -> list[tuple[str, list[dict[str, Any]]]]:
    rows = [{**row, "log_alpha": float(np.log10(row["alpha"]))} for row in sweep_rows(record)]
    return [(f"seed {own[0]['seed']}", own) for own in by(rows, "run").values()]


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
    """Table of rows in a result, a table per run; `columns` chooses some."""

    def tables(records: Records) -> list[Table]:
        made = []
        for record in records:
            rows = [{key: row.get(key) for key in columns or row if not _nested(row.get(key))}
                    for row in record.figure(path)]  # fmt: skip
            made.append(Table.of_rows(f"{name_of(record)}: {title}", rows))
        return made

    return tables


def _nested(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict) for each in value))


def boards(records: Records) -> list[Table]:
    """Rank correlations of scores with exact ablation, trained and random weights, beside published ones."""
    rows = []
    for record in records:
        for weights, board in record.figure("results.scoreboard").items():
            for row in board["rows"]:
                if row.get("spearman") is None:
                    continue
                published = PUBLISHED.get(str(row.get("method"))) if weights == "random" else None
                ends = [row.get(f"spearman_{end}") for end in ("low", "high")]
                cell = row["spearman"] if None in ends else Interval(row["spearman"], *ends)
                rows.append({"network": name_of(record), "weights": weights, "score": row["method"], "spearman": cell,
                             "published": published and Interval(*published[1:4])})  # fmt: skip
    return [Table.of_rows("Scores against exact ablation: Spearman", rows)]


def scatter(records: Records) -> list[Plot]:
    """Each score of the run against the first other one, unit by unit."""
    plots = []
    for record in records:
        values = {name: {row["layer"]: row["values"] for row in stage["layers"]}
                  for name, stage in record.figure("results.scores").items() if stage.get("layers")}  # fmt: skip
        truth = "ablation" if "ablation" in values else next(iter(values))
        for name in values:
            if name != truth:
                series = tuple(
                    Series(layer, tuple(np.abs(values[truth][layer]).tolist()), tuple(np.abs(units).tolist()))
                    for layer, units in values[name].items()
                    if layer in values[truth]
                )
                plots.append(Plot(f"{name_of(record)}: {name} against {truth}", truth, name, series, "points"))
    return plots


def pruning(records: Records) -> list[Plot]:
    """Validation accuracy while pruning, by method and draw."""
    series = [
        each
        for record in records
        for each in curves(record.figure("results.prune.steps"), f"{name_of(record)}, " * (len(records) > 1))
    ]
    return [Plot("Accuracy while pruning", "share of the units that is gone", "validation accuracy", tuple(series))]


def predictors(records: Records) -> list[Plot]:
    """Interchange accuracy against coverage of each predictor, a plot per run."""
    found = [(record, record.figure("results.causal.interchange_accuracy.rows")) for record in records]
    title = "{}: interchange accuracy of votes and controls"
    return [Plot(title.format(name_of(record)), COVERED, "IIA", by_coverage(rows), "points") for record, rows in found]


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


ALIGN = ("align digits_mlp", "align digits_cnn")
OWN = "no publication: our own table"
SMALL = "other data and networks than the paper's: scikit-learn digits, networks trained here"
EXHIBITS: tuple[Exhibit, ...] = (
    Exhibit("ndg_table_2", f"{NDG_PAPER}, Table 2", "align", ALIGN, SMALL,
            lambda records: [graph_figures.table(records)], paths=("results.graph.paper",)),
    Exhibit("ndg_table_3", f"{NDG_PAPER}, Table 3", "controls", ("align controls digits_mlp",), SMALL,
            of_edges("results.controls.table_3.rows", "the graph and control graphs"), paths=("results.controls",)),
    Exhibit("ndg_table_7", f"{NDG_PAPER}, Table 7", "controls", ("align controls digits_mlp",), SMALL,
            of_edges("results.controls.table_7.rows", "graphs of real and random inputs"), paths=("results.controls",)),
    Exhibit("alignment", f"{NDG_PAPER}, alignment", "align", ALIGN, SMALL, alignment, paths=("results.trial",)),
    Exhibit("precision", f"{NDG_PAPER}, precision and recall", "align", ALIGN, SMALL, precision_rows, cloud,
            paths=("results.edges",)),
    Exhibit("precision_boxes", f"{NDG_PAPER}, box plots", "align", ALIGN, SMALL, plots=boxes, paths=("results.edges",)),
    Exhibit("precision_histograms", f"{NDG_PAPER}, histograms", "align", ALIGN, SMALL, plots=histograms,
            paths=("results.edges",)),
    Exhibit("alpha_ribbons", f"{NDG_PAPER}, precision against alpha", "sweep", ("align sweep digits_mlp",), SMALL,
            plots=ribbons, paths=("results.sweep.rows",)),
    Exhibit("alpha_edges", f"{NDG_PAPER}, edges against alpha", "sweep", ("align sweep digits_mlp",), SMALL,
            plots=counts, paths=("results.sweep.rows",)),
    Exhibit("inter_layer", f"{NDG_PAPER}, between layers", "layers", ("align layers digits_cnn",), SMALL,
            of_edges("results.layers.rows", "edges within and between layers"), paths=("results.layers",)),
    Exhibit("inter_model", f"{NDG_PAPER}, between networks", "models", ("align models digits_mlp --seeds 0 1",), SMALL,
            of_edges("results.models.rows", "edges within and between networks"), paths=("results.models",)),
    Exhibit("prior_graphs", f"{NDG_PAPER}, graphs by prior", "align", ("align digits_mlp",), SMALL, graphs=True,
            paths=("results.graph",)),
    Exhibit("gndi_table", f"{GNDI_PAPER}, correlations", "score",
            ("score digits_cnn --scoreboard gndi snip magnitude hrank",),
            "the published network is a ResNet-18 on CIFAR-10, of which only JPEG copies are at hand", boards,
            published="G-NDI 0.981, SNIP 0.905, HRank 0.663, magnitude -0.506 (signed)", paths=("results.scoreboard",)),
    Exhibit("gndi_scatter", f"{GNDI_PAPER}, scatter", "score", ("score digits_cnn --method gndi ablation",), SMALL,
            plots=scatter, paths=("results.scores.ablation", "results.scores.gndi")),
    Exhibit("pruning_curves", f"{GNDI_PAPER}, pruning", "prune",
            ("prune digits_mlp --share 0.9 --steps 3 --method gndi",), SMALL,
            of_rows("results.prune.final", "the pruned network on test"), pruning, paths=("results.prune.steps",)),
    Exhibit("filters", "Dhamdhere et al. 2018, two experiments", "analysis", ("filters digits_cnn",),
            "the published networks are trained on ImageNet and texts", lambda records: filters(records),
            paths=("results.filters",)),
    Exhibit("efficiency", "efficiency of layers", "efficiency", ("efficiency digits_mlp",), OWN,
            of_rows("results.efficiency.rows", "efficiency", "layer", "importance", "units", "weights", "removable",
                    "k99", "gini", "null_gini", "utilisation", "null_utilisation"),
            published="none", paths=("results.efficiency.rows",)),
    Exhibit("fitness", "Fitness metrics by score", "score", ("score digits_mlp --method fitness:measure=variance",),
            OWN, lambda records: fitness(records), published="none",
            paths=("results.scores.fitness",)),
    Exhibit("causal", "causal graph", "causal", ("align causal digits_mlp",), OWN,
            of_rows("results.causal.interchange_accuracy.rows", "interchange accuracy", "predictor", "iia", "low",
                    "high", "n", "lead", "lead_low", "lead_high", "coverage"),
            predictors, published="none", paths=("results.causal.interchange_accuracy",)),
)  # fmt: skip
"""Every table and figure, in the order of docs/results.md."""


def filters(records: Records) -> list[Table]:
    """Correlation of filter scores with the drop of a logit, and a classifier on the best filters."""
    found = [each for record in records for each in record.figure("results.filters.experiments")]
    tables = []
    for title, key in (
        ("Scores of filters against the drop of the logit", "drop"),
        ("A classifier on few filters", "probe"),
    ):
        rows = [{"network": each["network"], "layer": each["layer"], **row} for each in found for row in each[key]]
        tables.append(Table.of_rows(title, rows))
    return tables


def fitness(records: Records) -> list[Table]:
    """Largest and mean fitness of each layer."""
    rows = [
        {"network": name_of(record), "layer": row["layer"], "units": len(row["values"]),
         "mean": float(np.mean(row["values"])), "largest": float(np.max(row["values"])),
         "unit": int(np.argmax(row["values"]))}
        for record in records
        for row in record.figure("results.scores.fitness.layers")
    ]  # fmt: skip
    return [Table.of_rows("Fitness of units (variance)", rows)]
