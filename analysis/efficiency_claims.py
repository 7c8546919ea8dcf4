"""The source's claims about pruning, measured with and without fine-tuning.

    python -m analysis.efficiency_claims [--seeds 0 1 2] [--quick] [--cache FOLDER] [--markdown] [--json FILE]

Claims: "95 % sparsity with less than 1 % loss of accuracy on MNIST", "60 to 80 % compression of CIFAR-10 networks",
"removing 40 to 60 % of the weights has minimal impact". Weights are set to 0 by global magnitude, and by the source's
importance |w| x mean |activation| within each layer; then the network is trained on, its zeros held, for `TUNED`
epochs. Networks: small convolutional ones, on 6,000 images of MNIST and of the lossless part of CIFAR-10.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.efficiency_networks import Spec, Trained, accuracy, fit, trained
from ndg import atomic
from ndg.efficiency.importance import of_part
from ndg.efficiency.observe import observe
from ndg.efficiency.parts import parts_of
from ndg.errors import NDGError
from ndg.locations import Locations
from ndg.options import RunOptions
from ndg.report.tables import Column, Table

MNIST, CIFAR = Spec("mnist", (64,), (16, 32)), Spec("cifar10", (64,), (16, 32), epochs=8)
SHARES = {MNIST: (0.4, 0.5, 0.6, 0.9, 0.95), CIFAR: (0.4, 0.6, 0.8)}
METHODS = {"|w|, all layers together": "magnitude", "|w| x activation, each layer": "activation"}
TUNED, CALIBRATION = 2, 1000
Row = dict[str, Any]

CLAIMS = (
    ("95 % sparsity with less than 1 % loss on MNIST", "mnist", (0.95,)),
    ("60 to 80 % compression on CIFAR-10", "cifar10", (0.6, 0.8)),
    ("remove 40 to 60 % of the weights with minimal impact (at most 1 point), MNIST", "mnist", (0.4, 0.5, 0.6)),
    ("remove 40 to 60 % of the weights with minimal impact (at most 1 point), CIFAR-10", "cifar10", (0.4, 0.6)),
)
"""Claim, data, and shares of weights at which it must hold."""


def masks(network: Trained, method: str, share: float) -> dict[str, Tensor]:
    """For each weight 1 if it stays and 0 if it goes, by parameter."""
    parts = parts_of(network.network)
    loader = [(network.train.inputs[:CALIBRATION], network.train.labels[:CALIBRATION])]
    options = RunOptions(progress=False)
    seen = observe(network.network, loader, parts, options, inputs=False, deep=False)
    importance = {part: of_part(part, method, seen) for part in parts}
    if method == "magnitude":
        level = np.quantile(np.concatenate([values.reshape(-1) for values in importance.values()]), share)
        levels = dict.fromkeys(parts, level)
    else:
        levels = {part: np.quantile(values, share) for part, values in importance.items()}
    return {
        f"{part.layer}.weight": torch.from_numpy(values > levels[part]).reshape(part.parameters[0].shape).float()
        for part, values in importance.items()
    }


def rows_of(network: Trained) -> list[Row]:
    """Accuracy of one network at each share, pruned and fine-tuned."""
    rows = []
    for label, method in METHODS.items():
        for share in SHARES[network.spec]:
            kept = masks(network, method, share)
            smaller = copy.deepcopy(network.network)
            for name, parameter in smaller.named_parameters():
                if name in kept:
                    parameter.data.mul_(kept[name])
            pruned = accuracy(smaller, network.held_out)
            train = network.train
            fit(smaller, train.inputs, train.labels, TUNED, network.seed, rate=1e-3, masks=kept)
            rows.append(
                {
                    "data": network.spec.data,
                    "method": label,
                    "share": share,
                    "whole": network.accuracy,
                    "pruned": pruned,
                    "tuned": accuracy(smaller, network.held_out),
                }
            )
    return rows


def summary(rows: Sequence[Row]) -> list[Row]:
    """Means over trainings, with points lost."""
    keys = list(dict.fromkeys((row["data"], row["method"], row["share"]) for row in rows))
    table = []
    for key in keys:
        own = [row for row in rows if (row["data"], row["method"], row["share"]) == key]
        mean = {name: float(np.mean([row[name] for row in own])) for name in ("whole", "pruned", "tuned")}
        lost = {f"lost_{name}": 100 * (mean["whole"] - mean[name]) for name in ("pruned", "tuned")}
        table.append({"data": key[0], "method": key[1], "share": key[2], "n": len(own), **mean, **lost})
    return table


def verdicts(table: Sequence[Row]) -> list[Row]:
    """Whether each claim holds, by method, with and without fine-tuning."""
    rows = []
    for claim, name, shares in CLAIMS:
        for method in METHODS:
            own = [row for row in table if (row["data"], row["method"]) == (name, method) and row["share"] in shares]
            if own:
                pruned, tuned = (max(row[f"lost_{when}"] for row in own) for when in ("pruned", "tuned"))
                holds = {"without": _verdict(pruned), "with": _verdict(tuned)}
                rows.append({"claim": claim, "method": method, "lost": pruned, "lost_tuned": tuned, **holds})
    return rows


def _verdict(lost: float) -> str:
    return "holds" if lost <= 1 else "does not hold"


def tables(table: Sequence[Row]) -> list[Table]:
    """The claims, and the figures behind them."""
    claims = {
        "claim": Column("claim", left=True),
        "method": Column("weights removed by", left=True),
        "lost": Column("lost", "points", digits=1),
        "without": Column("without fine-tuning", left=True),
        "lost_tuned": Column("lost", "points", digits=1),
        "with": Column("with fine-tuning", left=True),
    }
    figures = {
        "data": Column("data", left=True),
        "method": Column("weights removed by", left=True),
        "share": Column("share removed", digits=2),
        "whole": Column("accuracy"),
        "pruned": Column("pruned"),
        "tuned": Column("fine-tuned"),
        "n": Column("n", "trainings"),
    }
    note = (
        f"Points of accuracy lost at the worst share of the claim, mean over trainings; a claim holds at 1 point at "
        f"most. Fine-tuning: {TUNED} epochs with the zeros held."
    )
    return [
        Table.of("Claims of the source", claims, verdicts(table), note=note),
        Table.of("Accuracy without weights", figures, list(table)),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="trainings of each network (default 0)")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep trained networks here")
    parser.add_argument("--quick", action="store_true", help="MNIST alone")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, as in docs/")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures")
    parser.add_argument("--data", metavar="DIR", help="folder of the data sets (else NDG_DATA)")
    options = parser.parse_args(arguments)
    where = Locations.choose(data=options.data)
    try:
        specs = (MNIST,) if options.quick else (MNIST, CIFAR)
        networks = [trained(spec, seed, where, options.cache) for spec in specs for seed in options.seeds]
        table = summary([row for network in networks for row in rows_of(network)])
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    print("\n\n".join(each.markdown() if options.markdown else str(each) for each in tables(table)))
    if options.json:
        atomic.write(options.json, json.dumps({"figures": table, "claims": verdicts(table)}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
