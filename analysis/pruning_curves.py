"""Pruning curves: held-out accuracy without the least important units by each score, before and after fine-tuning.

    python -m analysis.pruning_curves [RUN...] [--configs digits_mlp digits_cnn] [--methods ...] [--json FILE]

Units are scored on training examples, the pruned network is fine-tuned on the training split and judged on the test
split. Each point begins with the network as it was trained. A second table says what happens when the most important
units go first.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

from analysis.edge_survival import Run
from analysis.subjects import Tables, interval, layers_of, main, name_of, refusals, scores_of, some
from ndg.errors import ConfigError
from ndg.importance.experiments.curves import CurveSettings, ablation_curves
from ndg.importance.experiments.groups import SHARES
from ndg.importance.experiments.pruning import PruneSettings, Tuning, prune
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings
from ndg.options import RunOptions
from ndg.report.tables import Column, Table

CONFIGS = ("digits_mlp", "digits_cnn")
METHODS = ("gndi", "conductance", "activation", "gradient_x_activation", "snip", "magnitude", "ablation")
EXAMPLES, DRAWS = 400, 5
QUICK_EXAMPLES, QUICK_DRAWS, QUICK_SHARES = 60, 2, (0.1, 0.5)

PRUNED = {
    "network": Column("network", left=True),
    "method": Column("score", left=True),
    "share": Column("pruned", digits=2),
    "units": Column("units"),
    "n": Column("n"),
    "accuracy": Column("accuracy [95 %]"),
    "random_accuracy": Column("random units [95 %]"),
    "tuned": Column("fine-tuned [95 %]"),
    "random_tuned": Column("random, fine-tuned [95 %]"),
    "above": Column("draws below", "before, after", left=True),
}
ABLATED = {
    "network": Column("network", left=True),
    "method": Column("score", left=True),
    "order": Column("first", left=True),
    "share": Column("at zero", digits=2),
    "n": Column("n"),
    "accuracy": Column("accuracy [95 %]"),
    "random_accuracy": Column("random units [95 %]"),
    "loss": Column("loss", "nats"),
    "shift": Column("shift", "logits [95 %]"),
    "random_shift": Column("random", "logits"),
}
NOTE = (
    "Units of all scored layers are ranked together, by absolute score. accuracy: Wilson interval over n test "
    "examples. random units: mean over draws with a Student interval. draws below: of how many random draws the score "
    "keeps more. none: the whole network, fine-tuned likewise. The network is as it was trained before every point."
)
GROUP_NOTE = "top: the most important units are put to zero together, before the others; bottom: the least important."


def measured(run: Run, asked: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """Rows of both tables for one network, and what refused."""
    most, draws, shares = (
        (QUICK_EXAMPLES, QUICK_DRAWS, QUICK_SHARES) if asked.quick else (asked.examples, asked.draws, asked.shares)
    )
    train = some(run, "train", most)
    options = RunOptions(seed=run.seed, threads=asked.threads)
    layers = layers_of(run.model, train, asked.layers)
    found = dict(scores_of(run.model, train, layers, asked.methods, Settings(options=options)))
    scores = {method: one for method, one in found.items() if isinstance(one, Scores)}
    if not scores:
        raise ConfigError(f"no score can be taken of these layers:{refusals(found)}")
    held = some(run, "test", most if asked.quick else None)
    settings = PruneSettings(shares, asked.scope, draws, tuning=Tuning(asked.epochs, asked.learning_rate))
    groups = CurveSettings(shares, scope=asked.scope, draws=draws)
    options = replace(options, executor=asked.executor)
    seen = None if asked.no_tuning else some(run, "train", most if asked.quick else None)
    pruned = prune(run.model, held, scores, train=seen, settings=settings, options=options)
    ablated = ablation_curves(run.model, held, scores, settings=groups, options=options)
    name = {"network": name_of(run)}
    return [name | row for row in pruned.rows()], [name | row for row in ablated.rows()], refusals(found)


def work(asked: argparse.Namespace, runs: list[Run]) -> Tables:
    """Both tables of all networks."""
    pruned: list[dict[str, Any]] = []
    ablated: list[dict[str, Any]] = []
    left_out = ""
    for run in runs:
        first, second, left_out = measured(run, asked)
        pruned, ablated = pruned + first, ablated + second
    tables = [
        Table.of("pruning", PRUNED, [_cells(row) for row in pruned], note=NOTE + left_out),
        Table.of("group ablation", ABLATED, [_cells(row) for row in ablated], note=GROUP_NOTE),
    ]
    return tables, {"note": NOTE, "pruning": pruned, "groups": ablated}


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    cells = dict(row)
    for name in ("accuracy", "tuned", "random_accuracy", "random_tuned", "shift"):
        low, high = f"{name}_low", f"{name}_high"
        if name == "random_accuracy" and "random_low" in row:
            low, high = "random_low", "random_high"
        cells[name] = interval(row.get(name), row.get(low), row.get(high))
    if row.get("draws") and "above_accuracy" in row:
        after = row["above_tuned"]
        cells["above"] = f"{row['above_accuracy']}, {'–' if after is None else after} of {row['draws']}"
    return cells


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="METHOD")
    parser.add_argument("--shares", type=float, nargs="+", default=list(SHARES), metavar="SHARE")
    parser.add_argument("--scope", default="all", choices=("all", "each"), help="rank over all layers, or in each")
    parser.add_argument("--draws", type=int, default=DRAWS, metavar="N", help="of random units (default %(default)s)")
    parser.add_argument("--examples", type=int, default=EXAMPLES, metavar="N", help="that are scored")
    parser.add_argument("--epochs", type=int, default=1, metavar="N", help="of fine-tuning (default %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=Tuning.learning_rate, metavar="RATE")
    parser.add_argument("--no-tuning", action="store_true", help="prune alone")
    parser.add_argument("--executor", default="serial", choices=("serial", "ray"))


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], work, CONFIGS, add=add))
