"""G-NDI's table (Nagy 2025): scores of sampled channels against their damage.

    python -m analysis.gndi_table [RUN...] [--configs cifar10_resnet18] [--channels 300] [--methods ...] [--json FILE]

The published table uses 300 channels of the convolutions of a ResNet-18 with a 3 x 3 stem, zero ablation, the L2
distance of the logits, and random weights. Here both the untrained and the trained network are measured. Channels are
drawn uniformly over all convolutions. The published figures stand beside an untrained ResNet-18 of any width and data.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import nn

from analysis.edge_survival import Run
from analysis.subjects import Tables, interval, main, name_of, refusals, scores_of, some
from ndg import seeds
from ndg.activations.batches import COMPUTE_BATCH, compute_batches, fixed
from ndg.comparison.sources import reinitialised
from ndg.errors import ConfigError
from ndg.importance.evaluation.agreement import NULL, agreement, null_of
from ndg.importance.methods.ablation import damage
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings
from ndg.interventions.baselines import Neutrals
from ndg.interventions.partial_forward import PartialForward
from ndg.options import RunOptions
from ndg.report.tables import Column, Table
from ndg.units.resolve import find_layers
from ndg.workflows.subject import candidates

CONFIGS = ("cifar10_resnet18",)
METHODS = ("gndi", "snip", "grasp", "synflow", "magnitude", "hrank")
CHANNELS, EXAMPLES, DRAWS = 300, 200, 1000
QUICK = {"channels": 24, "examples": 24, "draws": 100}
UNTRAINED, TRAINED = "untrained", "trained"

PUBLISHED: dict[str, tuple[float, float, float, float, float]] = {
    "gndi": (0.958, 0.981, 0.970, 0.988, 0.900),
    "snip": (0.797, 0.905, 0.877, 0.923, 0.728),
    "hrank": (0.624, 0.663, 0.591, 0.729, 0.478),
    "magnitude": (-0.543, -0.506, -0.584, -0.418, -0.352),
    "grasp": (-0.069, -0.055, -0.193, 0.080, -0.040),
}
"""Nagy 2025, CIFAR-10, signed: Pearson, Spearman and its interval, Kendall."""

COLUMNS = {
    "network": Column("network", left=True),
    "weights": Column("weights", left=True),
    "score": Column("score", left=True),
    "n": Column("n", "channels"),
    "pearson": Column("Pearson [95 %]"),
    "spearman": Column("Spearman [95 %]"),
    "kendall": Column("Kendall"),
    "within": Column("Spearman within layers [95 %]"),
    "published": Column("published Spearman [95 %]"),
}
NOTE = (
    "Correlations of absolute scores with the mean L2 distance of the logits when the channel is at zero; published "
    "ones are of signed scores and of an untrained network. Intervals: 95 % bootstrap over channels. layer mean: a "
    "null that only knows the mean damage of each layer. within layers: mean over layers with at least 3 sampled "
    "channels, weighted by their number."
)

Sampled = Mapping[str, Int64[np.ndarray, " channel"]]


def sampled(model: nn.Module, loader: Iterable[Any], layers: Sequence[str], count: int, seed: int) -> Sampled:
    """Channels drawn uniformly over all convolutions, by layer. Raises ConfigError without any."""
    modules, shapes = dict(model.named_modules()), candidates(model, loader, COMPUTE_BATCH)
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    paths = find_layers(model, layers) if layers else [path for path in shapes if isinstance(modules[path], kinds)]
    ends = np.cumsum([shapes[path][0] for path in paths])
    if not len(ends):
        raise ConfigError("G-NDI's table needs convolutions; this network has none; name layers with --layers")
    drawn = np.sort(seeds.generator(seed, "sampled channels").permutation(ends[-1])[:count])
    parts = {
        path: drawn[(drawn >= end - shapes[path][0]) & (drawn < end)] - (end - shapes[path][0])
        for path, end in zip(paths, ends, strict=True)
    }
    return {path: units.astype(np.int64) for path, units in parts.items() if len(units)}


def damages(model: nn.Module, loader: Iterable[Any], channels: Sampled, threads: int = 1) -> Scores:
    """Exact ablation of the sampled channels (zero baseline, mean L2 norm over logits)."""
    sums = {layer: np.zeros(len(units)) for layer, units in channels.items()}
    neutrals, examples = Neutrals("zero"), 0
    with torch.inference_mode(False), fixed(model, threads):
        for batch in compute_batches(loader, short=True):
            examples += batch.count
            for layer, units in channels.items():
                with PartialForward(model, layer, batch, neutrals) as cut:
                    damages, _ = damage(cut, units.tolist(), "logits", None, None)
                sums[layer] += damages.sum(dim=1).numpy()
    return Scores(
        method="ablation",
        values={layer: total / examples for layer, total in sums.items()},
        whole=dict.fromkeys(sums, 0.0),
        target="all logits",
        baseline=neutrals.name,
        examples=examples,
    )


def only(scores: Scores, channels: Sampled) -> Scores:
    """Scores of the sampled channels."""
    values = {layer: scores[layer][units] for layer, units in channels.items()}
    return replace(scores, values=values, whole={layer: scores.whole[layer] for layer in values}, errors={})


def measured(
    model: nn.Module,
    loader: Iterable[Any],
    channels: Sampled,
    methods: Sequence[str],
    seed: int,
    draws: int,
    threads: int,
) -> tuple[list[dict[str, Any]], str]:
    """One row per score, and a note on methods left out."""
    truth = damages(model, loader, channels, threads)
    results = dict(
        scores_of(model, loader, tuple(channels), methods, Settings(options=RunOptions(seed=seed, threads=threads)))
    )
    known = {method: only(scores, channels) for method, scores in results.items() if isinstance(scores, Scores)}
    rows = []
    for method, scores in [*known.items(), (NULL, null_of(truth))]:
        agreements = agreement(scores, truth, seed=seed, draws=draws)
        rows.append(
            {
                "score": method,
                "n": agreements.pooled["pearson"].n,
                "examples": truth.examples,
                **{name: agreements.pooled[name].to_dict() for name in ("pearson", "spearman", "kendall")},
                "within": agreements.within["spearman"].to_dict(),
            }
        )
    return rows, refusals(results)


def work(args: argparse.Namespace, runs: list[Run]) -> Tables:
    """Table for all networks, untrained and trained."""
    limits = QUICK if args.quick else {"channels": args.channels, "examples": args.examples, "draws": DRAWS}
    rows: list[dict[str, Any]] = []
    left_out = ""
    for run in runs:
        loader = some(run, "test", limits["examples"])
        channels = sampled(run.model, loader, args.layers, limits["channels"], run.seed)
        for weights, model in ((UNTRAINED, reinitialised(run.model, run.seed).model), (TRAINED, run.model)):
            measurements, left_out = measured(
                model, loader, channels, args.methods, run.seed, limits["draws"], args.threads
            )
            names = {"network": name_of(run), "resnet": "ResNet-18" in getattr(model, "title", "")}
            rows += [{**names, "weights": weights, **row} for row in measurements]
    table = Table.of(
        "scores of sampled channels against exact ablation", COLUMNS, list(map(_cells, rows)), note=NOTE + left_out
    )
    return [table], {"note": NOTE, "published": PUBLISHED, "rows": rows}


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    names = ("pearson", "spearman", "kendall", "within")
    cells = {name: interval(*(row[name][key] for key in ("value", "low", "high"))) for name in names}
    published = PUBLISHED.get(row["score"]) if row["weights"] == UNTRAINED and row["resnet"] else None
    return row | cells | {"published": interval(*published[1:4]) if published else None}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--channels", type=int, default=CHANNELS, metavar="N", help="sampled channels (default %(default)s)"
    )
    parser.add_argument(
        "--examples", type=int, default=EXAMPLES, metavar="N", help="test examples (default %(default)s)"
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="METHOD")


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], work, CONFIGS, add=add))
