"""The source's claims about pruning, measured with and without fine-tuning.

    python -m analysis.efficiency_claims [--seeds 0 1 2] [--quick] [--folder DIR] [--markdown] [--json FILE]

Claims: "95 % sparsity with less than 1 % loss of accuracy on MNIST", "60 to 80 % compression of CIFAR-10 networks",
"removing 40 to 60 % of the weights has minimal impact". Weights are set to 0 by global magnitude, and by the source's
importance |w| x mean |activation| within each layer; then the network is trained on, its zeros held, for `TUNED`
epochs on at most 6,000 images. Networks: the one of mnist_cnn, trained on all of MNIST, and small convolutional ones
on 6,000 images of MNIST and of the lossless part of CIFAR-10.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.efficiency_networks import LIMIT, Images, Spec, accuracy, fit, images, trained
from ndg import atomic, config, data, training
from ndg.efficiency.importance import of_part
from ndg.efficiency.observe import observe
from ndg.efficiency.parts import parts_of
from ndg.errors import NDGError
from ndg.locations import Locations
from ndg.options import RunOptions
from ndg.report.tables import Column, Table
from ndg.workflows.train import train

SMALL = Spec("mnist", (64,), (16, 32)), Spec("cifar10", (64,), (16, 32), epochs=8)
LARGE = "mnist_cnn"
TRAINING = ("train.epochs=3", "train.batch_size=128", "train.schedule=cosine", "train.threads=1")
"""Changes of the config of the large network."""
SHARES = {"mnist": (0.4, 0.5, 0.6, 0.9, 0.95), "cifar10": (0.4, 0.6, 0.8)}
METHODS = {"|w|, all layers together": "magnitude", "|w| x activation, each layer": "activation"}
TUNED, CALIBRATION = 2, 1000
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained network with the images that prune and tune it, and the held-out ones."""

    name: str
    data: str
    seed: int
    network: nn.Module
    train: Images
    held_out: Images


CLAIMS = (
    ("95 % sparsity with less than 1 % loss on MNIST", "mnist", (0.95,)),
    ("60 to 80 % compression on CIFAR-10", "cifar10", (0.6, 0.8)),
    ("remove 40 to 60 % of the weights with minimal impact (at most 1 point)", "mnist", (0.4, 0.5, 0.6)),
    ("remove 40 to 60 % of the weights with minimal impact (at most 1 point)", "cifar10", (0.4, 0.6)),
)
"""Claim, data, and shares of weights at which it must hold."""


def subjects(seeds: Sequence[int], quick: bool, where: Locations, folder: Path) -> list[Subject]:
    """The networks of all claims; `quick`: a small one on MNIST."""
    found = []
    for spec in SMALL[:1] if quick else SMALL:
        for seed in seeds:
            small = trained(spec, seed, where, folder)
            found.append(Subject(spec.name, spec.data, seed, small.network, small.train, small.held_out))
    for seed in () if quick else seeds:
        experiment = where.place(config.load(config.find(LARGE), [*TRAINING, f"seed={seed}"]))
        splits, own = data.load(experiment.data), folder / f"{LARGE}-{seed}"
        train(experiment, splits, own, resume=True)
        some, network = images(splits.train[:LIMIT]), training.load_model(own)[0].eval()
        found.append(Subject(LARGE, "mnist", seed, network, some, images(splits.test)))
    return found


def masks(subject: Subject, method: str, share: float) -> dict[str, Tensor]:
    """For each weight 1 if it stays and 0 if it goes, by parameter."""
    parts = parts_of(subject.network)
    loader = [(subject.train.inputs[:CALIBRATION], subject.train.labels[:CALIBRATION])]
    options = RunOptions(progress=False)
    seen = observe(subject.network, loader, parts, options, inputs=False, deep=False)
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


def rows_of(subject: Subject) -> list[Row]:
    """Accuracy of one network at each share, pruned and fine-tuned."""
    rows, whole = [], accuracy(subject.network, subject.held_out)
    for label, method in METHODS.items():
        for share in SHARES[subject.data]:
            kept = masks(subject, method, share)
            smaller = copy.deepcopy(subject.network)
            for name, parameter in smaller.named_parameters():
                if name in kept:
                    parameter.data.mul_(kept[name])
            pruned = accuracy(smaller, subject.held_out)
            fit(smaller, subject.train.inputs, subject.train.labels, TUNED, subject.seed, rate=1e-3, masks=kept)
            tuned = accuracy(smaller, subject.held_out)
            row = {"network": subject.name, "data": subject.data, "method": label, "share": share}
            rows.append(row | {"whole": whole, "pruned": pruned, "tuned": tuned})
    return rows


KEYS = ("network", "data", "method", "share")


def summary(rows: Sequence[Row]) -> list[Row]:
    """Means over trainings, with points lost."""
    together: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        together.setdefault(tuple(row[key] for key in KEYS), []).append(row)
    table = []
    for values, own in together.items():
        mean = {name: float(np.mean([row[name] for row in own])) for name in ("whole", "pruned", "tuned")}
        lost = {f"lost_{name}": 100 * (mean["whole"] - mean[name]) for name in ("pruned", "tuned")}
        table.append(dict(zip(KEYS, values, strict=True)) | {"n": len(own)} | mean | lost)
    return table


def verdicts(table: Sequence[Row]) -> list[Row]:
    """Whether each claim holds, by network and method, with and without fine-tuning."""
    rows = []
    for claim, source, shares in CLAIMS:
        networks = dict.fromkeys(row["network"] for row in table if row["data"] == source)
        for network, method in itertools.product(networks, METHODS):
            own = [row for row in table if (row["network"], row["method"]) == (network, method)]
            own = [row for row in own if row["share"] in shares]
            pruned, tuned = (max(row[f"lost_{when}"] for row in own) for when in ("pruned", "tuned"))
            row = {"claim": claim, "network": network, "method": method, "n": own[0]["n"]}
            row |= {"lost": pruned, "without": _verdict(pruned), "lost_tuned": tuned, "with": _verdict(tuned)}
            rows.append(row)
    return rows


def _verdict(lost: float) -> str:
    return "holds" if lost <= 1 else "does not hold"


def tables(table: Sequence[Row]) -> list[Table]:
    """The claims, and the figures behind them."""
    claims = {
        "claim": Column("claim", left=True),
        "network": Column("network", left=True),
        "method": Column("weights removed by", left=True),
        "lost": Column("lost", "points", digits=1),
        "without": Column("without fine-tuning", left=True),
        "lost_tuned": Column("lost", "points", digits=1),
        "with": Column("with fine-tuning", left=True),
        "n": Column("n", "trainings"),
    }
    figures = {
        "network": Column("network", left=True),
        "method": Column("weights removed by", left=True),
        "share": Column("share removed", digits=2),
        "whole": Column("accuracy"),
        "pruned": Column("pruned"),
        "tuned": Column("fine-tuned"),
        "n": Column("n", "trainings"),
    }
    note = (
        f"Points of accuracy lost at the worst share of the claim, mean over trainings; a claim holds at 1 point at "
        f"most. Fine-tuning: {TUNED} epochs on at most {LIMIT:,} images with the zeros held."
    )
    return [
        Table.of("Claims of the source", claims, verdicts(table), note=note),
        Table.of("Accuracy without weights", figures, list(table)),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="trainings of each network (0 1 2)")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/claims"), metavar="DIR", help="trainings (default %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="a small network on MNIST alone")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, as in docs/")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures")
    parser.add_argument("--data", metavar="DIR", help="folder of the data sets (else NDG_DATA)")
    options = parser.parse_args(arguments)
    where = Locations.choose(data=options.data)
    try:
        networks = subjects(options.seeds, options.quick, where, options.folder)
        table = summary([row for subject in networks for row in rows_of(subject)])
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    print("\n\n".join(each.markdown() if options.markdown else str(each) for each in tables(table)))
    if options.json:
        atomic.write(options.json, json.dumps({"figures": table, "claims": verdicts(table)}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
