"""Rebuild the network, data and graph of a finished align run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ndg.abstraction.explain import ExplainSettings, Explanation, explain
from ndg.activations.batches import columns
from ndg.config import load
from ndg.errors import ConfigError, UserError
from ndg.locations import Locations
from ndg.nodes import class_number
from ndg.options import RunOptions
from ndg.runs.record import RunRecord
from ndg.workflows import targets
from ndg.workflows.pictures import graph_of
from ndg.workflows.prepare import Prepared


def prepared_of(record: RunRecord, where: Locations) -> Prepared:
    """Network and data of an align run. Raises ConfigError."""
    experiment = load(record["config"])
    if record["parent"] is not None:
        [target] = targets.find([record["parent"]], [], where)
    elif ":" in (name := str(record.figure("results.network.name") or "")):
        target = targets.own(name, None, experiment.extract.layers, [], [], where)
    else:
        raise ConfigError(
            f"the network of {record.id} was not trained here, and no function makes it; only its graph is at hand; "
            "align the network that a function returns, with --model"
        )
    settings = {key: getattr(experiment, key) for key in ("extract", "criterion", "mining", "trial", "importance")}
    return Prepared(target, where, "cpu", "serial", None).changed(**settings)


def explained(
    record: RunRecord, where: Locations, number: int, target: str | None = None, split: str | None = None
) -> tuple[Explanation, int | None]:
    """Explanation of one example and its true class.

    `target` is a class by number or name.

    Raises UserError if one of them is unknown.
    """
    prepared, graph = prepared_of(record, where), graph_of(record)
    subject, settings = prepared.subject, prepared.experiment.trial
    split = split or subject.held_out
    if split not in subject.loaders:
        raise UserError(f"there is no split {split!r}; there are {', '.join(subject.loaders)}")
    size = subject.sizes[split]
    if not 0 <= number < size:
        raise UserError(f"the examples of {split} are numbered 0 to {size - 1}; got {number}")
    example = _row(subject.loaders[split], number)
    other = None if target is None else class_number(target, graph.class_names, graph.nodes.labels)
    explanation = explain(
        subject.network,
        graph,
        example,
        reference=subject.loaders[split],
        fit=subject.loaders["train"],
        settings=ExplainSettings(other, settings.layer, settings.values, budget=settings.budget, number=number),
        options=RunOptions(**prepared.passes, seed=settings.seed),
    )
    return explanation, None if "labels" not in example else int(example["labels"][0])


def _row(loader: Iterable[Any], number: int) -> dict[str, Tensor]:
    """One example of a loader, as a batch of one."""
    first = 0
    for batch in map(columns, loader):
        rows = len(next(iter(batch.values())))
        if number < first + rows:
            return {key: column[number - first : number - first + 1] for key, column in batch.items()}
        first += rows
    raise UserError(f"the loader has {first} examples; got number {number}")
