"""Figures of the papers, each from run documents and files of their folders."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.exhibit_tables import Records, name_of
from ndg.causal.accuracy import COVERED, by_coverage
from ndg.compression.iterative import curves
from ndg.importance.evaluation.agreement import agreement
from ndg.importance.scores import Scores
from ndg.plots import Plot, Series, by
from ndg.runs.record import RunRecord

BINS = 40
"""Bins of a histogram."""
ZOOM = (0.99, 1.0005)
"""Precisions of the second box plot."""
Z = 1.96
"""Standard errors on each side of a 95 % interval."""
TRUTH = "ablation"


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
    """Share of the implications by precision, mined and held out: a plot of each run, with the same bins for all."""
    rows = {name_of(record): edges(record) for record in records}
    low = min((row["precision"] for own in rows.values() for row in own), default=ZOOM[0])
    plots = []
    for name, own in rows.items():
        series = []
        for kind, key in (("mined", "mined_precision"), ("held out", "precision")):
            counts, ends = np.histogram([row[key] for row in own], BINS, (min(low, ZOOM[0]), 1.0))
            centres = tuple(((ends[1:] + ends[:-1]) / 2).tolist())
            shares = tuple((counts / max(counts.sum(), 1)).tolist())
            series.append(Series(kind, centres, shares))
        title = f"Precision of the implications of {name}"
        plots.append(Plot(title, "precision", f"share, in {BINS} bins", tuple(series), "steps"))
    return plots


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


def scatter(records: Records) -> list[Plot]:
    """Each score of the run against exact ablation, unit by unit, with 95 % intervals over examples."""
    return [plot for record in records for plot in scatters(record)]


def scatters(record: RunRecord) -> list[Plot]:
    """A plot for each score besides ablation; intervals of the values with a standard error."""
    stages = {name: {row["layer"]: row for row in stage["layers"]}
              for name, stage in record.figure("results.scores").items() if stage.get("layers")}  # fmt: skip
    truth = TRUTH if TRUTH in stages else next(iter(stages))
    plots = []
    for name in stages:
        if name != truth:
            layers = [layer for layer in stages[name] if layer in stages[truth]]
            series = tuple(_units(layer, stages[truth][layer], stages[name][layer]) for layer in layers)
            title = f"{name_of(record)}: {name} against {truth}, Spearman {rank(record, name, truth)}"
            plots.append(Plot(title, f"damage by {truth}", name, series, "points"))
    return plots


def rank(record: RunRecord, name: str, truth: str = TRUTH) -> str:
    """Rank correlation of two scores of a run over all units, with its 95 % bootstrap interval."""
    score, damage = (Scores.from_dict(record.figure("results.scores")[each]) for each in (name, truth))
    estimate = agreement(score, damage).pooled["spearman"]
    if estimate.value is None:
        return "unknown"
    return f"{estimate.value:.3f}" + (f" [{estimate.low:.3f}, {estimate.high:.3f}]" if estimate.low is not None else "")


def _units(layer: str, truth: dict[str, Any], score: dict[str, Any]) -> Series:
    """Units of a layer: the damage across, the score up, both absolute."""
    x, y = (np.abs(row["values"]) for row in (truth, score))
    ends: list[tuple[float, ...]] = []
    for values, row in ((x, truth), (y, score)):
        spread = Z * np.array(row["errors"]) if row.get("errors") else None
        ends += [() if spread is None else tuple((values + side * spread).tolist()) for side in (-1, 1)]
    left, right, low, high = ends
    return Series(layer, tuple(x.tolist()), tuple(y.tolist()), low, high, left, right)


def pruning(records: Records) -> list[Plot]:
    """Validation accuracy while pruning, by method and draw, a plot per run."""
    axes = ("share of the units that is gone", "validation accuracy")
    return [
        Plot(
            f"{name_of(record)}: accuracy while pruning", *axes, tuple(curves(record.figure("results.prune.steps"), ""))
        )
        for record in records
    ]


def predictors(records: Records) -> list[Plot]:
    """Interchange accuracy against coverage of each predictor, a plot per run."""
    found = [(record, record.figure("results.causal.interchange_accuracy.rows")) for record in records]
    title = "{}: interchange accuracy of votes and controls"
    return [Plot(title.format(name_of(record)), COVERED, "IIA", by_coverage(rows), "points") for record, rows in found]
