"""Filter experiment: which score finds the filters that a class needs?

    drop      Pearson correlation over filters, per class, of the score for the class's logit with the decrease of that
              logit when the filter is removed, on examples of the class
    probe     accuracy of a linear classifier on the mean activations of the k best filters, on other examples

Source: Dhamdhere, Sundararajan & Yan 2018.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import nn

from ndg import seeds
from ndg.activations.batches import columns, fixed, join
from ndg.errors import ConfigError, DataError, check_list
from ndg.gradients.tape import Tape
from ndg.importance.experiments.groups import RANDOM, marked, rate_over_draws
from ndg.importance.score import known, score
from ndg.importance.settings import Loader, Settings, passes
from ndg.intervals import rate
from ndg.options import RunOptions, old_keywords, plain_numbers
from ndg.results import Result, mean

FIT, TEST = 30, 20
TOP = (5, 10, 20)
ROUNDS = 2000
ALL = "all filters"

ByClass = Float64[np.ndarray, "label filter"]
Mask = Bool[np.ndarray, " filter"]


@dataclass(frozen=True)
class FilterSettings:
    """How many examples and filters the experiment takes.

    fit    examples of each class that scores and the classifier see
    test   examples of each class that the classifier is tested on
    top    numbers of best filters that the classifier sees
    draws  choices of random filters, the control
    own    options of single methods, by method

    Raises ConfigError without examples, or for a negative number of draws.
    """

    fit: int = FIT
    test: int = TEST
    top: Sequence[int] = TOP
    draws: int = 20
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plain_numbers(self)
        if min(self.fit, self.test) < 1 or self.draws < 0:
            raise ConfigError(
                f"the experiment takes at least 1 example of each class to fit and to test; got {self.fit}, {self.test}"
            )


@old_keywords(settings=FilterSettings, options=RunOptions, renamed={"internal_batch_size": "batch"})
def filter_experiment(
    model: nn.Module,
    loader: Iterable[Any],
    layer: str,
    methods: Sequence[str],
    *,
    settings: FilterSettings = FilterSettings(),
    options: RunOptions = RunOptions(),
) -> Filters:
    """Compare scores by how well they find important filters.

    `methods` are keys of `IMPORTANCE`. The k best filters have the highest mean absolute score over classes. Controls:
    in `drop` the drop of the next class, in `probe` k random filters, and all filters.

    Raises DataError if a class has too few examples, ConfigError for a k larger than the layer.
    """
    check_list(methods, "methods")
    fit, test, top, seed = settings.fit, settings.test, settings.top, options.seed
    first, second = _divided(loader, fit, test, seed)
    shared = Settings(options=options)
    with torch.inference_mode(False):
        fitted, tested = (_features(model, layer, part, shared) for part in (first, second))
        filters = fitted[0].shape[1]
        if any(not 1 <= k <= filters for k in top):
            raise ConfigError(f"the best filters are 1 to {filters} of layer {layer!r}; got {list(top)}")

        def by_class(method: str, **own: Any) -> ByClass:
            """Scores for the logit of each class, on examples of that class."""
            targets = {label: label if known(method).target else None for label in first}
            scores = (
                score(model, [part], layer, method, target=targets[label], options=options, **own)
                for label, part in first.items()
            )
            return np.stack([one_class[layer] for one_class in scores])

        drops = by_class("ablation", measure="logits")
        scored = {method: by_class(method, **settings.own.get(method, {})) for method in methods}
    correlated = tuple(_correlated(method, values, drops, seed) for method, values in scored.items())
    chosen: list[tuple[str, int, int | None, Mask]] = []
    for k in top:
        for method, values in scored.items():
            chosen.append((method, k, None, _best(np.abs(values).mean(axis=0), k)))
        for draw in range(settings.draws):
            drawn = seeds.generator(seed, "random filters", draw).random((filters,))
            chosen.append((RANDOM, k, draw, _best(drawn, k)))
    chosen.append((ALL, filters, None, np.ones(filters, np.bool_)))
    probed = tuple(
        Probe(method, k, draw, _fitted(fitted, tested, which), len(tested[1])) for method, k, draw, which in chosen
    )
    return Filters(layer, filters, tuple(first), fit, test, correlated, probed)


@dataclass(frozen=True)
class Correlation:
    """Pearson correlations over filters per class, with `other` those with the next class's drops.

    `low` and `high` are the 95 % bootstrap interval of the mean over classes.
    """

    method: str
    classes: tuple[float | None, ...]
    other: tuple[float | None, ...]
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Probe:
    """Correct predictions, out of `n`, of a classifier on `k` filters."""

    method: str
    k: int
    draw: int | None
    correct: int
    n: int


@dataclass(frozen=True)
class Filters(Result):
    """Results of the experiment at one layer."""

    layer: str
    filters: int
    labels: tuple[int, ...]
    fit: int
    test: int
    correlations: tuple[Correlation, ...]
    probes: tuple[Probe, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One row per score: mean correlation over `classes`, and its control."""
        rows = []
        for correlation in self.correlations:
            both = correlation.classes, correlation.other
            known, other = (np.array([value for value in values if value is not None]) for values in both)
            row = {"method": correlation.method, "n": self.filters, "classes": len(known), "pearson": mean(known)}
            row |= {"pearson_low": correlation.low, "pearson_high": correlation.high}
            rows.append(row | {"least": min(known.tolist(), default=None), "other_class": mean(other)})
        return rows

    def probe_rows(self) -> list[dict[str, Any]]:
        """One row per score and k: accuracy beside random filters."""
        rows = []
        for result in self.probes:
            drawn = [probe.correct / probe.n for probe in self.probes if (probe.method, probe.k) == (RANDOM, result.k)]
            row = {"method": result.method, "k": result.k, "n": result.n} | rate("accuracy", result.correct, result.n)
            rows.append(row | {"draws": len(drawn)} | rate_over_draws("random", drawn))
        return [row for row in rows if row["method"] != RANDOM]

    def words(self) -> str:
        """Correlation of each score with the drop of the logit."""
        findings = [
            f"{row['method']} {row['pearson']:.3f} [{row['pearson_low']:.3f}, {row['pearson_high']:.3f}], with the "
            f"drop of another class {'unknown' if row['other_class'] is None else format(row['other_class'], '.3f')}"
            for row in self.rows()
            if row["pearson"] is not None
        ]
        return (
            f"Correlation over the {self.filters} filters of {self.layer} with the drop of the logit, mean over "
            f"{len(self.labels)} classes: {'; '.join(findings) or 'not defined for any score'}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        facts = {"layer": self.layer, "filters": self.filters, "fit": self.fit, "test": self.test}
        return facts | {"labels": list(self.labels), "drop": self.rows(), "probe": self.probe_rows()}


Features = tuple[Float64[np.ndarray, "_ filter"], Int64[np.ndarray, " _"]]
"""Mean activation of every filter for each example, and the classes."""

Parts = dict[int, Any]
"""Batch of examples of each class, in the form of a loader."""


def _divided(loader: Loader, fit: int, test: int, seed: int) -> tuple[Parts, Parts]:
    """Examples of every class for fitting and testing, drawn from the loader."""
    parts = [columns(batch) for batch in loader]
    if not parts or any("labels" not in part for part in parts):
        raise DataError("the filter experiment needs examples with their true classes; give (inputs, labels)")
    whole = join(parts)
    divided: tuple[Parts, Parts] = {}, {}
    for label in sorted(set(whole["labels"].tolist())):
        rows = np.flatnonzero(whole["labels"].numpy() == label)
        if len(rows) < fit + test:
            raise DataError(
                f"every class needs {fit + test} examples, {fit} to fit and {test} to test; class {label} has "
                f"{len(rows)}; give more examples, or fewer with fit= and test="
            )
        drawn = torch.from_numpy(seeds.generator(seed, "filter examples", label).permutation(rows)[: fit + test])
        for part, some in zip(divided, drawn.split([fit, test]), strict=True):
            columns_of = {key: column[some] for key, column in whole.items()}
            part[label] = (columns_of[""], columns_of["labels"]) if "" in columns_of else columns_of
    return divided


def _features(model: nn.Module, layer: str, parts: Mapping[int, Any], settings: Settings) -> Features:
    values, labels = [], []
    with fixed(model, settings.options.threads, grad=False), Tape(model, [layer]) as tape:
        for batch in passes(list(parts.values()), settings, "activations of filters"):
            tape.run(batch)
            values.append(tape[layer][: batch.count].double().mean(dim=2).cpu().numpy())
            assert batch.labels is not None
            labels.append(batch.labels.numpy())
    return np.concatenate(values), np.concatenate(labels)


def _correlated(method: str, scores: ByClass, drops: ByClass, seed: int) -> Correlation:
    """Correlations per class with a bootstrap interval of the mean."""
    label, filters = scores.shape
    own, other = _correlations(scores, drops), _correlations(scores, np.roll(drops, -1, axis=0))
    drawn = seeds.generator(seed, "bootstrap", "filters").integers(filters, size=(ROUNDS, filters))
    sums, known = np.zeros(ROUNDS), np.zeros(ROUNDS)
    for pair in zip(scores, drops, strict=True):
        values = _correlations(*(side[drawn] for side in pair))
        sums, known = sums + np.nan_to_num(values), known + ~np.isnan(values)
    means = sums[known > 0] / known[known > 0]
    low, high = np.percentile(means, [2.5, 97.5]) if len(means) else (math.nan, math.nan)
    ends = (float(low), float(high)) if not np.isnan(own).all() else (None, None)
    classes, others = (tuple(None if math.isnan(value) else value for value in part.tolist()) for part in (own, other))
    return Correlation(method, classes, others if label > 1 else (), *ends)


def _correlations(first: ByClass, second: ByClass) -> Float64[np.ndarray, " round"]:
    """Correlation of each row, NaN if one side is constant."""
    constant = (first == first[:, :1]).all(axis=1) | (second == second[:, :1]).all(axis=1)
    first, second = (side - side.mean(axis=1, keepdims=True) for side in (first, second))
    size = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(constant | (size == 0), np.nan, (first * second).sum(axis=1) / size)


def _best(size: Float64[np.ndarray, " filter"], k: int) -> Mask:
    return marked(np.argsort(-size, kind="stable"), k)


def _fitted(fitted: Features, tested: Features, chosen: Mask) -> int:
    """Correct test predictions of logistic regression on standardised filters."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    classifier.fit(fitted[0][:, chosen], fitted[1])
    return int((classifier.predict(tested[0][:, chosen]) == tested[1]).sum())
