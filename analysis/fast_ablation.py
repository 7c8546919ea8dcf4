"""Cheap estimates of exact ablation, compared at equal cost.

    python -m analysis.fast_ablation [RUN...] [--configs digits_cnn] [--seeds 0 1 2] [--draws 20] [--json FILE]

Each way runs with many random draws at each cost. Cost counts forward passes of one example, a backward pass as two,
and includes auxiliary scores; exact ablation costs units times examples. The control ablates all units on random
examples.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from analysis.cheap import sampling, variants
from analysis.edge_survival import Run
from analysis.subjects import Tables, layers_of, main, some
from benchmarks.cheap import DRAWS, SHARES, draws, fast, fast_with_errors, low, subsampled
from ndg.activations.batches import columns
from ndg.report.tables import Column, Table

CONFIGS = ("digits_cnn",)
EXAMPLES, QUICK = 400, 60

WAYS: dict[str, variants.Way] = {
    "ablation on random examples": subsampled,
    "fast ablation": fast,
    **variants.WAYS,
    **sampling.WAYS,
}

SHOWN = {
    "network": Column("network", left=True),
    "way": Column("way", left=True),
    **{f"1/{round(1 / share)}": Column(f"1/{round(1 / share)}", left=True) for share in SHARES},
    "better": Column("minus control at 1/50", "95 %", left=True),
}


def compared(
    trainings: Sequence[variants.Measurements], ways: Mapping[str, variants.Way], shares: Sequence[float], count: int
) -> list[dict[str, Any]]:
    """Correlation of each way within layers at each cost, over trainings and draws."""
    correlations = {
        name: {share: np.stack([draws(training, way, share, count) for training in trainings]) for share in shares}
        for name, way in ways.items()
    }
    control = next(iter(correlations.values()))
    rows = []
    for name, by_share in correlations.items():
        figures = {
            f"1/{round(1 / share)}": {
                "mean": float(values.mean()),
                "sd": float(values.std()),
                "less_control": float((values - control[share]).mean()),
                "interval": None if by_share is control else list(low(values - control[share])),
            }
            for share, values in by_share.items()
        }
        rows.append({"way": name, "draws": count, "trainings": len(trainings), "figures": figures})
    return sorted(rows, key=lambda row: -row["figures"]["1/50"]["mean"])


def covered(trainings: Sequence[variants.Measurements], share: float, count: int) -> float:
    """Share of units whose exact damage is within two standard errors of fast ablation."""
    inside = []
    for training in trainings:
        for draw in range(count):
            values, errors = fast_with_errors(training, share, np.random.default_rng([0, draw]))
            inside.append(float((np.abs(values - training.truth) <= 2 * errors).mean()))
    return float(np.mean(inside))


def work(args: argparse.Namespace, runs: list[Run]) -> Tables:
    """Table of all ways on all networks."""
    by_name: dict[str, list[variants.Measurements]] = {}
    for run in runs:
        most = QUICK if args.quick else EXAMPLES
        loader = some(run, "test", most)
        inputs = torch.cat([columns(batch)[""] for batch in loader])
        by_name.setdefault(run.network, []).append(
            variants.measured(run.model, inputs, layers_of(run.model, loader, args.layers))
        )
    document, cells, remarks = {}, [], []
    count = 4 if args.quick else args.draws
    for name, trainings in by_name.items():
        rows = compared(trainings, WAYS, SHARES, count)
        within = {f"1/{round(1 / share)}": covered(trainings, share, count) for share in SHARES}
        kept = float(np.mean([training.kept(1 / 50) for training in trainings]))
        remarks.append(
            f" On {name}, {min(within.values()):.0%} to {max(within.values()):.0%} of the units are within two "
            f"standard errors of fast ablation; when both cache the part before a layer, 1/50 becomes 1/{1 / kept:.0f}."
        )
        document[name] = {"examples": trainings[0].shape[1], "units": trainings[0].shape[0], "rows": rows}
        document[name] |= {"covered": within, "kept": kept}
        for row in rows:
            figures = row["figures"]
            better = figures["1/50"]
            ends = better["interval"]
            cells.append(
                {"network": name, "way": row["way"]}
                | {key: f"{figure['mean']:.3f} ({figure['sd']:.3f})" for key, figure in figures.items()}
                | {"better": f"{better['less_control']:+.3f} [{ends[0]:+.3f}, {ends[1]:+.3f}]" if ends else "control"}
            )
    sizes = "; ".join(
        f"{name}: {len(group)} trainings, {group[0].shape[1]} examples" for name, group in by_name.items()
    )
    note = (
        "Columns are shares of the exact cost, with mean (sd) of Spearman's correlation with exact ablation within "
        f"layers, weighted by units; {sizes}. Each way spends at least its auxiliary scores and one example per unit, "
        f"even where that exceeds the share. Intervals: {_HOW}." + "".join(remarks)
    )
    return [Table.of("cheap estimates of exact ablation", SHOWN, cells, note=note)], document


_HOW = "Student's t over trainings, or the draws of one training"


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draws", type=int, default=DRAWS, metavar="N", help="random draws of each way and cost")


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], work, CONFIGS, add=_add))
