"""The importance of whole layers: G-NDI of a layer against neutralising all of it.

    python -m analysis.layer_table [RUN...] [--configs digits_mlp digits_cnn digits_vit sst2_small] [--json FILE]

The layer form of G-NDI (Nagy 2025) is the first order of what happens when the whole layer is at zero, where the way is
longest; the damage is exact. Both are mean L2 norms over logits, on held-out examples. The control is the same network
with random weights.
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
from ndg.comparison.networks import reinitialised
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
    "lowest": Column("least ratio"),
    "highest": Column("largest ratio"),
}
NOTE = (
    "damage: mean over n held-out examples of the L2 distance of the logits when the whole layer is at zero. ratio 1: "
    "the first order tells the size of the damage. Correlations are over the layers of one network."
)


def measured(
    model: nn.Module, loader: Any, layers: tuple[str, ...], network: str, weights: str, threads: int = 1
) -> list[dict[str, Any]]:
    """One row per layer."""
    options = RunOptions(threads=threads)
    first = score(model, loader, layers, "gndi", options=options)
    found = ablation_curves(
        model,
        loader,
        {"gndi": first},
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
            "gndi": first.whole[row["layer"]],
            **{key: row[key] for key in ("shift", "shift_low", "shift_high")},
            "ratio": first.whole[row["layer"]] / row["shift"] if row["shift"] else None,
            **{key: row[key] for key in ("accuracy", "accuracy_low", "accuracy_high")},
        }
        for row in found.rows()[1:]
    ]


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How the layers of one network agree."""
    first, second = (np.array([row[key] for row in rows]) for key in ("gndi", "shift"))
    ratios = [row["ratio"] for row in rows if row["ratio"] is not None]
    few = len(rows) < 3
    return {
        **{key: rows[0][key] for key in ("network", "weights")},
        "layers": len(rows),
        "pearson": None if few else pearson(first, second),
        "spearman": None if few else spearman(first, second),
        "kendall": None if few else kendall(first, second),
        "lowest": min(ratios, default=None),
        "highest": max(ratios, default=None),
    }


def work(asked: argparse.Namespace, runs: list[Run]) -> Tables:
    """Both tables of all networks."""
    rows: list[dict[str, Any]] = []
    summaries = []
    for run in runs:
        loader = some(run, "test", QUICK if asked.quick else EXAMPLES)
        layers = layers_of(run.model, loader, asked.layers)
        for weights, model in ((TRAINED, run.model), (RANDOM, reinitialised(run.model, run.seed).model)):
            mine = measured(model, loader, layers, name_of(run), weights, asked.threads)
            rows += mine
            summaries.append(summary(mine))
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
