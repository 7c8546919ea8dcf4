"""What an align run was about, at hand again: its network, its data, its graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch import Tensor

from ndg.abstraction.explain import ExplainSettings, Explanation, explain
from ndg.activations.batches import columns
from ndg.config import load
from ndg.errors import ConfigError, UserError
from ndg.locations import Locations
from ndg.options import RunOptions
from ndg.runs.record import RunRecord
from ndg.workflows import targets
from ndg.workflows.pictures import graph_of
from ndg.workflows.prepare import Prepared


def prepared_of(record: RunRecord, where: Locations) -> Prepared:
    """The network and the data of an align run, with the settings of that run.

    Raises ConfigError for a network of the user's own that no function makes.
    """
    experiment = load(record["config"])
    if record["parent"] is not None:
        [target] = targets.find([record["parent"]], [], where)
    elif ":" in (name := str(record.figure("results.network.name") or "")):
        target = targets.own(name, None, experiment.extract.layers, [], [], where)
    else:
        raise ConfigError(
            f"the network of {record.id} is of no training here, and no function makes it; its graph can be looked at, "
            "the network not; align the network that a function of yours returns, by --model"
        )
    settings = {key: getattr(experiment, key) for key in ("extract", "criterion", "mining", "trial", "importance")}
    target = replace(target, experiment=replace(target.experiment, **settings))
    return Prepared(target, where, "cpu", "serial", None)


def explained(
    record: RunRecord, where: Locations, number: int, target: int | None = None, split: str | None = None
) -> tuple[Explanation, int | None]:
    """What the graph of an align run says of one example of a split (the held-out one), and its true class.

    Raises UserError for an example or a split that there is not.
    """
    prepared, graph = prepared_of(record, where), graph_of(record)
    subject, settings = prepared.subject, prepared.target.experiment.trial
    split = split or subject.held_out
    if split not in subject.loaders:
        raise UserError(f"there is no split {split!r}; there are {', '.join(subject.loaders)}")
    size = subject.sizes[split]
    if not 0 <= number < size:
        raise UserError(f"the examples of {split} are numbered 0 to {size - 1}; got {number}")
    example = _row(subject.loaders[split], number)
    found = explain(
        subject.network,
        graph,
        example,
        reference=subject.loaders[split],
        fit=subject.loaders["train"],
        settings=ExplainSettings(target, settings.layer, settings.values, budget=settings.budget, number=number),
        options=RunOptions(**prepared.passes, seed=settings.seed),
    )
    return found, None if "labels" not in example else int(example["labels"][0])


def _row(loader: Iterable[Any], number: int) -> dict[str, Tensor]:
    """One example of a loader, as a batch of its own."""
    first = 0
    for given in map(columns, loader):
        rows = len(next(iter(given.values())))
        if number < first + rows:
            return {key: column[number - first : number - first + 1] for key, column in given.items()}
        first += rows
    raise UserError(f"the loader gave {first} examples; number {number} was asked for")
