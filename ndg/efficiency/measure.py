"""Efficiency of the layers of a network, beside fresh layers of the same shape.

report = ndg.efficiency.report(network, train_loader)
report.frame(), report.frame("recommendations"), report
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn

from ndg.activations.batches import compute_batches, no_examples
from ndg.activations.sampling import subset
from ndg.comparison.sources import reinitialised
from ndg.compression.obs import Removals
from ndg.efficiency.costs import Flops, flops, median_seconds
from ndg.efficiency.importance import OBSERVED, SLOPES, Matrix, check_kinds, of_part, slopes_of
from ndg.efficiency.metrics import lorenz, metrics
from ndg.efficiency.observe import Observation, observe
from ndg.efficiency.parts import Part, parts_of
from ndg.efficiency.removal import Removal, removals_of_parts
from ndg.efficiency.result import (
    EfficiencyComparison,
    EfficiencyReport,
    HeadEfficiency,
    LayerEfficiency,
    points,
)
from ndg.options import RunOptions
from ndg.probe import probe_loader
from ndg.run_study import placed

TOLERANCE = 0.01
"""Share of the next pre-activations' variance that a removable unit may add."""
NULL_EXAMPLES = 128
"""Examples on which the fresh network is observed."""
STEPS, BINS = 20, 48
LOWEST, HIGHEST = -4.0, 2.0
"""Powers of ten between which importance over its mean is counted."""


def report(
    net: nn.Module,
    data: Iterable[Any],
    layers: Iterable[str] | None = None,
    options: RunOptions = RunOptions(),
    *,
    importance: str | Iterable[str] = "activation",
    name: str = "",
) -> EfficiencyReport:
    """How much of each layer is used, and which share of its units can be removed.

    `data` gives examples of the training split, as for `ndg.score`. `layers` are module paths or expressions; without
    them all layers with weights count. `importance` is one or several of `ndg.efficiency.importance.KINDS`; those by
    the loss need true classes. The network is left as it was. With `options.journal` a report that was killed goes on
    after the last layer whose removals were finished.

    Raises LayerError for layers without weights, quantised weights and activations that are not finite; ConfigError for
    an unknown importance; DataError without examples, or without the classes that an importance needs.
    """
    kinds = check_kinds(importance)
    net = placed(net, options)
    parts = parts_of(net, layers)
    data = probe_loader(net, data, [], options.threads)
    first = next(iter(islice(compute_batches(data, options.batch, short=True), 1)), None)
    if first is None:
        raise no_examples()
    wanda = "wanda" in kinds
    every = parts_of(net)
    seen = observe(net, data, parts, options, inputs=wanda, around=every)
    fresh = reinitialised(net, options.seed).model
    fresh_parts = _alike(fresh, parts)
    few = subset(data, NULL_EXAMPLES, options.seed)
    fresh_seen = (
        observe(fresh, few, fresh_parts, options, inputs=wanda, deep=False) if set(kinds) & {*OBSERVED} else None
    )
    slopes = fresh_slopes = None
    if set(kinds) & {*SLOPES}:
        second = "taylor2" in kinds
        slopes = slopes_of(net, data, parts, options, second=second)
        fresh_slopes = slopes_of(fresh, few, fresh_parts, options, second=second)
    counted = flops(net, first)
    measured = removals_of_parts(net, data, parts, seen, options, {part.name: part for part in every})
    rows: list[LayerEfficiency] = []
    heads: list[HeadEfficiency] = []
    for kind in kinds:
        for part, other in zip(parts, fresh_parts, strict=True):
            values = of_part(part, kind, seen, slopes)
            null = of_part(other, kind, fresh_seen, fresh_slopes)
            rows.append(_layer(part, kind, values, null, seen[part.name], measured[part.name], counted))
            heads += _heads(part, kind, values)
    return EfficiencyReport(
        name or type(net).__name__,
        tuple(rows),
        tuple(heads),
        seen.examples,
        sum(parameter.numel() for parameter in net.parameters()),
        counted.whole,
        options.seed,
    )


def compare(first: EfficiencyReport, second: EfficiencyReport) -> EfficiencyComparison:
    """Two reports side by side.

    Layers are matched by name and importance.
    """
    return EfficiencyComparison(first, second)


def _layer(
    part: Part,
    kind: str,
    values: Matrix,
    null: Matrix,
    seen: Observation,
    found: Removal,
    counted: Flops,
) -> LayerEfficiency:
    """One row of a report."""
    figures = metrics(values)
    notes = [found.note] if found.note else []
    if not figures.effective:
        notes.insert(0, f"no weight has {kind} importance: the layer is redundant as a whole")
    spread = found.spectrum
    element = part.parameters[0].element_size()
    return LayerEfficiency(
        layer=part.name,
        kind=part.kind,
        importance=kind,
        units=len(values),
        metrics=figures,
        null=metrics(null),
        removable=None if found.removals is None else found.removals.removable(TOLERANCE),
        k99=None if spread is None else spread.k99,
        effective_rank=None if spread is None else spread.effective_rank,
        participation=None if spread is None else spread.participation,
        read_by=seen.reader or seen.other,
        flops=counted.by_layer.get(part.layer),
        seconds=median_seconds(seen.seconds),
        bytes=part.weight.numel() * element,
        activation_bytes=seen.size * element,
        note="; ".join(notes),
        lorenz=points(lorenz(values, STEPS + 1)[1]),
        histogram=_histogram(values),
        errors=() if found.removals is None else _curve(found.removals),
        removes=found.removes,
        group=found.group,
        group_units=len(found.removals.order) if found.group and found.removals is not None else 0,
    )


def _heads(part: Part, kind: str, values: Matrix) -> list[HeadEfficiency]:
    """Rows of the heads of an attention projection."""
    whole = float(values.sum())
    heads = []
    for number in range(part.heads):
        own = part.head(torch.from_numpy(values), number).numpy()
        share = float(own.sum()) / whole if whole > 0 else 0.0
        heads.append(HeadEfficiency(part.name, part.kind, kind, number, share, metrics(own)))
    return heads


def _curve(removal: Removals) -> tuple[float, ...]:
    """Relative error of removal at equal steps of the share of units."""
    relative = np.concatenate([[0.0], removal.relative])
    at = np.linspace(0, len(relative) - 1, STEPS + 1)
    return points(np.interp(at, np.arange(len(relative)), relative))


def _histogram(values: Matrix) -> tuple[float, ...]:
    """Share of the weights by the decimal logarithm of importance over its mean, those outside at the ends."""
    mean = float(values.mean())
    if mean <= 0:
        return (1.0, *[0.0] * (BINS - 1))
    with np.errstate(divide="ignore"):
        logs = np.clip(np.log10(values.reshape(-1) / mean), LOWEST, HIGHEST)
    counts, _ = np.histogram(logs, bins=BINS, range=(LOWEST, HIGHEST))
    return points(counts / values.size)


def _alike(model: nn.Module, parts: Sequence[Part]) -> list[Part]:
    """The same parts of a copy of the network."""
    by_name = {part.name: part for part in parts_of(model)}
    return [by_name[part.name] for part in parts]
