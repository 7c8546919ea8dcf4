"""Pruning curves: held-out accuracy after pruning by each score.

    python -m analysis.pruning_curves [RUN...] [--configs digits_mlp digits_cnn] [--methods ...] [--json FILE]

Units are scored on training examples; the pruned network is measured on the test split, before and after fine-tuning on
the training split. Each point starts from the trained network. A second table ablates groups of the most or least
important units.
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
    "examples. random units: mean over draws with a Student interval. draws below: number of random draws that keep "
    "less accuracy than the score. none: the whole network with the same fine-tuning. Each point starts from the "
    "trained network."
)
GROUP_NOTE = "top: the most important units are set to zero together; bottom: the least important."


def measured(run: Run, args: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """Rows of both tables, and a note on methods left out."""
    most, draws, shares = (
        (QUICK_EXAMPLES, QUICK_DRAWS, QUICK_SHARES) if args.quick else (args.examples, args.draws, args.shares)
    )
    train = some(run, "train", most)
    options = RunOptions(seed=run.seed, threads=args.threads)
    layers = layers_of(run.model, train, args.layers)
    results = dict(scores_of(run.model, train, layers, args.methods, Settings(options=options)))
    scores = {method: value for method, value in results.items() if isinstance(value, Scores)}
    if not scores:
        raise ConfigError(f"no method can score these layers:{refusals(results)}")
    held_out = some(run, "test", most if args.quick else None)
    settings = PruneSettings(shares, args.scope, draws, tuning=Tuning(args.epochs, args.learning_rate))
    groups = CurveSettings(shares, scope=args.scope, draws=draws)
    options = replace(options, executor=args.executor)
    tuned_on = None if args.no_tuning else some(run, "train", most if args.quick else None)
    pruned = prune(run.model, held_out, scores, train=tuned_on, settings=settings, options=options)
    ablated = ablation_curves(run.model, held_out, scores, settings=groups, options=options)
    name = {"network": name_of(run)}
    return [name | row for row in pruned.rows()], [name | row for row in ablated.rows()], refusals(results)


def work(args: argparse.Namespace, runs: list[Run]) -> Tables:
    """Both tables for all networks."""
    pruned: list[dict[str, Any]] = []
    ablated: list[dict[str, Any]] = []
    left_out = ""
    for run in runs:
        first, second, left_out = measured(run, args)
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
    parser.add_argument(
        "--draws", type=int, default=DRAWS, metavar="N", help="draws of random units (default %(default)s)"
    )
    parser.add_argument("--examples", type=int, default=EXAMPLES, metavar="N", help="examples for scoring")
    parser.add_argument(
        "--epochs", type=int, default=1, metavar="N", help="epochs of fine-tuning (default %(default)s)"
    )
    parser.add_argument("--learning-rate", type=float, default=Tuning.learning_rate, metavar="RATE")
    parser.add_argument("--no-tuning", action="store_true", help="prune without fine-tuning")
    parser.add_argument("--executor", default="serial", choices=("serial", "ray"))


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], work, CONFIGS, add=add))
