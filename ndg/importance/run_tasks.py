"""Sums over the tasks of a score, by an executor: serial, or Ray with the network once on each machine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from itertools import chain, islice
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ndg import executors
from ndg.activations.batches import Batch
from ndg.activations.digest import weights_digest
from ndg.executors import Journal
from ndg.importance.settings import Settings
from ndg.run_batches import placed

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
    another score, network or first batch; WorkerError when Ray gives no answer.
    """
    chosen, _ = executors.choose(settings.executor, address=settings.ray_address)
    journal = None
    if settings.journal is not None:
        tasks = iter(tasks)
        first = list(islice(tasks, 1))
        journal = Journal(settings.journal, _digest(label, study, first), decode)
        tasks = chain(first, tasks)
    model = placed(study.model, executor=chosen, ray_address=settings.ray_address)
    shared = replace(study, model=model, settings=_alone(settings))
    return chosen.total(work, shared, tasks, label, journal=journal)


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The sums of two parts of the tasks, layer by layer; a layer may be in one of them alone."""
    joined = dict(first)
    for layer, more in second.items():
        joined[layer] = joined[layer] + more if layer in joined else more
    return joined


def network_digest(model: nn.Module) -> str:
    """Sixteen hexadecimal digits of a network: of its weights, and of what its modules say that they do with them."""
    told = re.sub(r" at 0x[0-9a-f]+", "", repr(model))
    return digest_of([type(model).__qualname__, told, weights_digest(model)])


def digest_of(value: Any) -> str:
    """Sixteen hexadecimal digits of plain values, tensors and what holds them."""
    return hashlib.sha256(_spelled(value).encode()).hexdigest()[:16]


def _spelled(value: Any) -> str:
    """A value in words that name every number of its tensors."""
    if isinstance(value, Tensor):
        data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(data.data).hexdigest()}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{key!r}: {_spelled(one)}' for key, one in value.items()))}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_spelled, value))}]"
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__} {_spelled({one.name: getattr(value, one.name) for one in fields(value)})}"
    return repr(value)


def _alone(settings: Settings) -> Settings:
    """The settings without where they run."""
    return replace(settings, executor="serial", ray_address=None, journal=None)


def _digest(label: str, study: Any, first: list[Any]) -> str:
    """Of the score, the network, the request and the first batch; other data are the caller's to keep the same."""
    batches = [task if isinstance(task, Batch) else getattr(task, "batch", None) for task in first]
    return digest_of([label, network_digest(study.model), study.layers, _alone(study.settings), batches])
