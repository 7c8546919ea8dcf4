"""Filter experiment of the conductance paper: which score finds the filters of a class?

    python -m analysis.filter_experiment [RUN...] [--configs digits_cnn] [--layers PATH] [--methods ...] [--json FILE]

After Dhamdhere et al. 2018. For each class, 30 held-out examples (validation and test) give the scores and fit a
classifier, and 20 others test it. First table: Pearson correlation of a filter's score with the drop of the class's
logit without the filter, per class. Second: accuracy of a linear classifier on the k best filters.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

from torch import nn

from analysis.edge_survival import Run, opened
from analysis.subjects import Tables, interval, main, name_of, refusals, scores_of, some
from ndg.activations.batches import COMPUTE_BATCH
from ndg.errors import LayerError
from ndg.importance.experiments.filters import FIT, TEST, TOP, Filters, FilterSettings, filter_experiment
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings
from ndg.locations import Locations
from ndg.options import RunOptions
from ndg.report.tables import Column, Table
from ndg.runs.record import RunRecord
from ndg.units.resolve import find_layers
from ndg.workflows.subject import candidates

CONFIGS = ("digits_cnn",)
METHODS = ("conductance", "influence", "gradient_x_activation", "activation", "gndi", "ablation")
QUICK = {"fit": 6, "test": 4, "draws": 3}
DRAWS = 20

DROP = {
    "network": Column("network", left=True),
    "layer": Column("layer", left=True),
    "method": Column("score", left=True),
    "n": Column("n", "filters"),
    "classes": Column("classes"),
    "pearson": Column("Pearson [95 %]", "mean"),
    "least": Column("Pearson", "worst class"),
    "other_class": Column("Pearson", "another class"),
}
PROBE = {
    "network": Column("network", left=True),
    "layer": Column("layer", left=True),
    "method": Column("score", left=True),
    "k": Column("k"),
    "n": Column("n"),
    "accuracy": Column("accuracy [95 %]"),
    "random": Column("k random filters [95 %]"),
    "draws": Column("draws"),
}
DROP_NOTE = (
    "Signed scores for the logit of a class, on examples of that class, against the mean drop of that logit when the "
    "filter is at zero. Interval: 95 % bootstrap over filters of the mean over classes. another class: against the "
    "drop of the next class (control). ablation: with itself, 1 by definition."
)
PROBE_NOTE = (
    "Mean activations of the k filters with the largest mean absolute score over classes, standardised; logistic "
    "regression. Filters and classifier are fitted on other examples than the n test examples."
)


def last_convolution(run: Run) -> str:
    """Path of the last convolution. Raises LayerError without one."""
    shapes = candidates(run.model, run.splits.test.loader(COMPUTE_BATCH), COMPUTE_BATCH)
    modules = dict(run.model.named_modules())
    paths = [path for path in shapes if isinstance(modules[path], nn.Conv2d)]
    if not paths:
        raise LayerError(
            f"the filter experiment needs a convolution; {run.network} has none; name a layer with --layers"
        )
    return paths[-1]


def measured(run: Run, layer: str, args: argparse.Namespace) -> tuple[Filters, str]:
    """Results at one layer, and a note on methods left out."""
    settings = FilterSettings(args.fit, args.test, args.top, DRAWS)
    settings = replace(settings, **QUICK) if args.quick else settings
    loader = [batch for split in ("validation", "test") for batch in run.splits[split].loader(COMPUTE_BATCH)]
    scores = dict(scores_of(run.model, some(run, "test", 2), (layer,), args.methods, Settings(target=0, n_steps=1)))
    methods = [method for method, value in scores.items() if isinstance(value, Scores)]
    result = filter_experiment(
        run.model,
        loader,
        layer,
        methods,
        settings=settings,
        options=RunOptions(seed=run.seed, threads=args.threads),
    )
    return result, refusals(scores)


def work(args: argparse.Namespace, runs: list[Run]) -> Tables:
    """Both tables for all networks and layers."""
    named: list[tuple[dict[str, Any], Filters]] = []
    left_out = ""
    for run in runs:
        for layer in find_layers(run.model, args.layers) if args.layers else [last_convolution(run)]:
            result, left_out = measured(run, layer, args)
            named.append(({"network": name_of(run), "layer": layer}, result))
    drops: list[dict[str, Any]] = [
        names | row | {"pearson": interval(row["pearson"], row["pearson_low"], row["pearson_high"])}
        for names, result in named
        for row in result.rows()
    ]
    probes: list[dict[str, Any]] = [
        names
        | row
        | {
            "accuracy": interval(row["accuracy"], row["accuracy_low"], row["accuracy_high"]),
            "random": interval(row["random"], row["random_low"], row["random_high"]),
        }
        for names, result in named
        for row in result.probe_rows()
    ]
    tables = [
        Table.of("scores of filters against the drop of a class's logit", DROP, drops, note=DROP_NOTE + left_out),
        Table.of("a linear classifier on the best filters", PROBE, probes, note=PROBE_NOTE),
    ]
    return tables, {"experiments": [names | result.to_dict() for names, result in named]}


def document(training: RunRecord, where: Locations, quick: bool) -> dict[str, Any]:
    """Figures of both experiments at the last convolution of a training."""
    parser = argparse.ArgumentParser()
    add(parser)
    parser.set_defaults(quick=quick, layers=[], threads=1)
    return work(parser.parse_args([]), [opened(training.locate(where.runs), where)])[1]


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="METHOD")
    parser.add_argument("--fit", type=int, default=FIT, metavar="N", help="examples per class (default %(default)s)")
    parser.add_argument("--test", type=int, default=TEST, metavar="N", help="examples per class (default %(default)s)")
    parser.add_argument("--top", type=int, nargs="+", default=list(TOP), metavar="K", help="numbers of filters")


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], work, CONFIGS, add=add))
