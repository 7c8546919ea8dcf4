"""Importance of whole layers: G-NDI of a layer against its damage.

    python -m analysis.layer_table [RUN...] [--configs digits_mlp digits_cnn digits_vit sst2_small] [--json FILE]

The layer form of G-NDI (Nagy 2025) is the first-order effect of setting the whole layer to zero; the damage is the
exact effect. Both are mean L2 norms over logits, on held-out examples. The control is the same network with random
weights.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from analysis.edge_survival import Run
from analysis.subjects import Tables, interval, layers_of, main, name_of, some
from ndg.comparison.sources import reinitialised
from ndg.importance.evaluation.agreement import kendall, pearson, spearman
from ndg.importance.experiments.curves import CurveSettings, ablation_curves
from ndg.importance.score import score
from ndg.options import RunOptions
from ndg.report.tables import Column, Table

CONFIGS = ("digits_mlp", "digits_cnn", "digits_vit")
EXAMPLES, QUICK = 400, 60
TRAINED, RANDOM = "trained", "random weights"

COLUMNS = {
    "network": Column("network", left=True),
    "weights": Column("weights", left=True),
    "layer": Column("layer", left=True),
    "units": Column("units"),
    "n": Column("n"),
    "gndi": Column("G-NDI of the layer", "logits"),
    "damage": Column("damage", "logits [95 %]"),
    "ratio": Column("G-NDI / damage"),
    "accuracy": Column("accuracy without [95 %]"),
}
SUMMARY = {
    "network": Column("network", left=True),
    "weights": Column("weights", left=True),
    "layers": Column("n", "layers"),
    "pearson": Column("Pearson"),
    "spearman": Column("Spearman"),
    "kendall": Column("Kendall"),
    "lowest": Column("smallest ratio"),
    "highest": Column("largest ratio"),
}
NOTE = (
    "damage: mean over n held-out examples of the L2 distance of the logits when the whole layer is at zero. ratio 1: "
    "G-NDI equals the damage. Correlations are over the layers of one network."
)


def measured(
    model: nn.Module, loader: Any, layers: tuple[str, ...], network: str, weights: str, threads: int = 1
) -> list[dict[str, Any]]:
    """One row per layer."""
    options = RunOptions(threads=threads)
    gndi = score(model, loader, layers, "gndi", options=options)
    curves = ablation_curves(
        model,
        loader,
        {"gndi": gndi},
        settings=CurveSettings([1.0], ["top"], "layer", draws=0),
        options=options,
    )
    return [
        {
            "network": network,
            "weights": weights,
            "layer": row["layer"],
            "units": row["units"],
            "n": row["n"],
            "gndi": gndi.whole[row["layer"]],
            **{key: row[key] for key in ("shift", "shift_low", "shift_high")},
            "ratio": gndi.whole[row["layer"]] / row["shift"] if row["shift"] else None,
            **{key: row[key] for key in ("accuracy", "accuracy_low", "accuracy_high")},
        }
        for row in curves.rows()[1:]
    ]


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Agreement over the layers of one network."""
    gndi, damage = (np.array([row[key] for row in rows]) for key in ("gndi", "shift"))
    ratios = [row["ratio"] for row in rows if row["ratio"] is not None]
    few = len(rows) < 3
    return {
        **{key: rows[0][key] for key in ("network", "weights")},
        "layers": len(rows),
        "pearson": None if few else pearson(gndi, damage),
        "spearman": None if few else spearman(gndi, damage),
        "kendall": None if few else kendall(gndi, damage),
        "lowest": min(ratios, default=None),
        "highest": max(ratios, default=None),
    }


def work(args: argparse.Namespace, runs: list[Run]) -> Tables:
    """Both tables for all networks."""
    rows: list[dict[str, Any]] = []
    summaries = []
    for run in runs:
        loader = some(run, "test", QUICK if args.quick else EXAMPLES)
        layers = layers_of(run.model, loader, args.layers)
        for weights, model in ((TRAINED, run.model), (RANDOM, reinitialised(run.model, run.seed).model)):
            measurements = measured(model, loader, layers, name_of(run), weights, args.threads)
            rows += measurements
            summaries.append(summary(measurements))
    cells = [
        row
        | {
            "damage": interval(row["shift"], row["shift_low"], row["shift_high"]),
            "accuracy": interval(row["accuracy"], row["accuracy_low"], row["accuracy_high"]),
        }
        for row in rows
    ]
    tables = [
        Table.of("whole layers", COLUMNS, cells, note=NOTE),
        Table.of("agreement over layers", SUMMARY, summaries),
    ]
    return tables, {"rows": rows, "summary": summaries}


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], work, CONFIGS))
