"""The conductance paper's filter experiment (Dhamdhere et al. 2018): which score finds the filters of a class?

    python -m analysis.filter_experiment [RUN...] [--configs digits_cnn] [--layers PATH] [--methods ...] [--json FILE]

Of each class 30 held-out examples (validation and test) are scored and fit the classifier, and 20 others test it. First
table: Pearson of a
filter's score with the drop of the class's logit when it is removed, class by class. Second: accuracy of a linear
classifier that sees the k best filters alone.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

from torch import nn

from analysis.edge_survival import Run
from analysis.subjects import Tables, interval, main, name_of, refusals, scores_of, some
from ndg.activations.batches import COMPUTE_BATCH
from ndg.errors import LayerError
from ndg.importance.experiments.filters import FIT, TEST, TOP, Filters, FilterSettings, filter_experiment
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings
from ndg.options import RunOptions
from ndg.report.tables import Column, Table
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
    "Signed scores of the logit of a class, on examples of that class, against the mean drop of that logit when the "
    "filter is at zero. Interval: 95 % bootstrap over filters of the mean over classes. another class: against the "
    "drop of the next class, the control. ablation: with itself, 1 by definition."
)
PROBE_NOTE = (
    "Mean activations of the k filters with the largest mean absolute score over classes, standardised; logistic "
    "regression. Filters are chosen and the classifier is fitted on other examples than the n it is tested on."
)


def last_convolution(run: Run) -> str:
    """The last convolution that gives maps. LayerError without one."""
    shapes = candidates(run.model, run.splits.test.loader(COMPUTE_BATCH), COMPUTE_BATCH)
    modules = dict(run.model.named_modules())
    found = [path for path in shapes if isinstance(modules[path], nn.Conv2d)]
    if not found:
        raise LayerError(f"the filter experiment is about a convolution; {run.network} has none; name one by --layers")
    return found[-1]


def measured(run: Run, layer: str, asked: argparse.Namespace) -> tuple[Filters, str]:
    """The experiment at one layer by the methods that can score it, and what refused."""
    settings = FilterSettings(asked.fit, asked.test, asked.top, DRAWS)
    settings = replace(settings, **QUICK) if asked.quick else settings
    loader = [batch for split in ("validation", "test") for batch in run.splits[split].loader(COMPUTE_BATCH)]
    tried = dict(scores_of(run.model, some(run, "test", 2), (layer,), asked.methods, Settings(target=0, n_steps=1)))
    methods = [method for method, scores in tried.items() if isinstance(scores, Scores)]
    found = filter_experiment(
        run.model,
        loader,
        layer,
        methods,
        settings=settings,
        options=RunOptions(seed=run.seed, threads=asked.threads),
    )
    return found, refusals(tried)


def work(asked: argparse.Namespace, runs: list[Run]) -> Tables:
    """Both tables of all networks and layers."""
    named: list[tuple[dict[str, Any], Filters]] = []
    left_out = ""
    for run in runs:
        for layer in find_layers(run.model, asked.layers) if asked.layers else [last_convolution(run)]:
            one, left_out = measured(run, layer, asked)
            named.append(({"network": name_of(run), "layer": layer}, one))
    drops: list[dict[str, Any]] = [
        names | row | {"pearson": interval(row["pearson"], row["pearson_low"], row["pearson_high"])}
        for names, one in named
        for row in one.rows()
    ]
    probes: list[dict[str, Any]] = [
        names
        | row
        | {
            "accuracy": interval(row["accuracy"], row["accuracy_low"], row["accuracy_high"]),
            "random": interval(row["random"], row["random_low"], row["random_high"]),
        }
        for names, one in named
        for row in one.probe_rows()
    ]
    tables = [
        Table.of("scores of filters against the drop of a class's logit", DROP, drops, note=DROP_NOTE + left_out),
        Table.of("a linear classifier on the best filters", PROBE, probes, note=PROBE_NOTE),
    ]
    return tables, {"experiments": [names | one.to_dict() for names, one in named]}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="METHOD")
    parser.add_argument("--fit", type=int, default=FIT, metavar="N", help="examples per class (default %(default)s)")
    parser.add_argument("--test", type=int, default=TEST, metavar="N", help="examples per class (default %(default)s)")
    parser.add_argument("--top", type=int, nargs="+", default=list(TOP), metavar="K", help="filters that are seen")


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], work, CONFIGS, add=add))
