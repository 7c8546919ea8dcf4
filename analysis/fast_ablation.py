"""Cheap estimates of exact ablation: what was tried, and how it ranks a layer's units at the same cost.

    python -m analysis.fast_ablation [RUN...] [--configs digits_cnn] [--seeds 0 1 2] [--draws 20] [--json FILE]

Each way is drawn many times at each cost. Cost counts forward passes of one example, a backward pass as two, auxiliary
scores included; exact ablation is units times examples. The control is ablation of all units on random examples.
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
    "better": Column("less control at 1/50", "95 %", left=True),
}


def compared(
    trainings: Sequence[variants.Measurements], ways: Mapping[str, variants.Way], shares: Sequence[float], many: int
) -> list[dict[str, Any]]:
    """One row per way: its correlation within layers at each cost, over trainings and draws."""
    found = {
        name: {share: np.stack([draws(one, way, share, many) for one in trainings]) for share in shares}
        for name, way in ways.items()
    }
    control = next(iter(found.values()))
    rows = []
    for name, by_share in found.items():
        figures = {
            f"1/{round(1 / share)}": {
                "mean": float(values.mean()),
                "sd": float(values.std()),
                "less_control": float((values - control[share]).mean()),
                "interval": None if by_share is control else list(low(values - control[share])),
            }
            for share, values in by_share.items()
        }
        rows.append({"way": name, "draws": many, "trainings": len(trainings), "figures": figures})
    return sorted(rows, key=lambda row: -row["figures"]["1/50"]["mean"])


def covered(trainings: Sequence[variants.Measurements], share: float, many: int) -> float:
    """The share of units whose truth lies within two standard errors of fast ablation, over trainings and draws."""
    inside = []
    for one in trainings:
        for draw in range(many):
            values, errors = fast_with_errors(one, share, np.random.default_rng([0, draw]))
            inside.append(float((np.abs(values - one.truth) <= 2 * errors).mean()))
    return float(np.mean(inside))


def work(asked: argparse.Namespace, found: list[Run]) -> Tables:
    by_name: dict[str, list[variants.Measurements]] = {}
    for run in found:
        most = QUICK if asked.quick else EXAMPLES
        loader = some(run, "test", most)
        inputs = torch.cat([columns(batch)[""] for batch in loader])
        by_name.setdefault(run.network, []).append(
            variants.measured(run.model, inputs, layers_of(run.model, loader, asked.layers))
        )
    document, shown, told = {}, [], []
    many = 4 if asked.quick else asked.draws
    for name, trainings in by_name.items():
        rows = compared(trainings, WAYS, SHARES, many)
        within = {f"1/{round(1 / share)}": covered(trainings, share, many) for share in SHARES}
        kept = float(np.mean([one.kept(1 / 50) for one in trainings]))
        told.append(
            f" Of the units of {name}, by fast ablation, {min(within.values()):.0%} to {max(within.values()):.0%} lie "
            f"within two standard errors; with what is before a layer kept in both, 1/50 is 1/{1 / kept:.0f}."
        )
        document[name] = {"examples": trainings[0].shape[1], "units": trainings[0].shape[0], "rows": rows}
        document[name] |= {"covered": within, "kept": kept}
        for row in rows:
            figures = row["figures"]
            better = figures["1/50"]
            ends = better["interval"]
            shown.append(
                {"network": name, "way": row["way"]}
                | {key: f"{one['mean']:.3f} ({one['sd']:.3f})" for key, one in figures.items()}
                | {"better": f"{better['less_control']:+.3f} [{ends[0]:+.3f}, {ends[1]:+.3f}]" if ends else "control"}
            )
    what = "; ".join(f"{name}: {len(ones)} trainings, {ones[0].shape[1]} examples" for name, ones in by_name.items())
    note = (
        "Columns are shares of the exact cost, with mean (sd) of Spearman's correlation with exact ablation within "
        f"layers, weighted by units; {what}. A way spends at least its auxiliary scores and one example of each unit, "
        f"even where that is more. Intervals: {_HOW}." + "".join(told)
    )
    return [Table.of("cheap estimates of exact ablation", SHOWN, shown, note=note)], document


_HOW = "between trainings by Student's t, or of the draws of one training"


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draws", type=int, default=DRAWS, metavar="N", help="draws of each way and cost")


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], work, CONFIGS, add=_add))
