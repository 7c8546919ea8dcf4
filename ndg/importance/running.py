"""Sums over the tasks of a score, by an executor: serial, or Ray with the network once on each machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from ndg import executors
from ndg.abstraction.running import placed
from ndg.activations.identity import weights_digest
from ndg.executors import Journal
from ndg.importance.settings import Settings

R = TypeVar("R")


def total(
    work: Callable[[Any, Any], R],
    study: Any,
    tasks: Iterable[Any],
    label: str,
    settings: Settings,
    decode: Callable[[dict[str, Any]], R],
) -> R:
    """The sum of `work(study, task)`; a study is a dataclass that holds its network as `model` and its `settings`.

    With a journal, tasks that it holds do not run again. Raises ConfigError for an unknown executor or a journal of
    another score, WorkerError when Ray gives no answer.
    """
    chosen, _ = executors.choose(settings.executor, address=settings.ray_address)
    journal = None
    if settings.journal is not None:
        journal = Journal(settings.journal, _digest(label, study), decode)
    model = placed(study.model, executor=chosen, ray_address=settings.ray_address)
    shared = replace(study, model=model, settings=_alone(settings))
    return chosen.total(work, shared, tasks, label, journal=journal)


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The sums of two parts of the tasks, layer by layer; a layer may be in one of them alone."""
    joined = dict(first)
    for layer, more in second.items():
        joined[layer] = joined[layer] + more if layer in joined else more
    return joined


def _alone(settings: Settings) -> Settings:
    """The settings without where they run."""
    return replace(settings, executor="serial", ray_address=None, journal=None)


def _digest(label: str, study: Any) -> str:
    """Of the score, the network and what is asked. The data are the caller's to keep the same."""
    of = [label, weights_digest(study.model), study.layers, _alone(study.settings)]
    return hashlib.sha256(repr(of).encode()).hexdigest()[:16]
