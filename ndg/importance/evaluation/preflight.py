"""Early checks of methods on a few examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from ndg.activations.batches import check_finite, columns, compute_batches, fixed
from ndg.errors import UserError
from ndg.executors.ordered_sum import summed
from ndg.gradients.autograd import gradients_of
from ndg.gradients.tape import Tape, check_gradients
from ndg.importance.batch_sums import BatchStudy
from ndg.importance.evaluation.spec import fitting, scored
from ndg.importance.settings import Loader, Settings
from ndg.progress import log

EXAMPLES = 2
STEPS = 2
"""Gradients along a path in a check."""


def check(model: nn.Module, loader: Loader, layers: Sequence[str], methods: Iterable[str], settings: Settings) -> None:
    """Raise the first error of some methods on this request."""
    few = first(loader)
    for name in methods:
        why = refusal(model, few, layers, name, settings)
        if why is not None:
            raise type(why)(f"{name} cannot score this request: {why}") from why


def refusal(model: nn.Module, few: Loader, layers: Sequence[str], method: str, settings: Settings) -> UserError | None:
    """Error of a method on a few examples, if it refuses."""
    options = replace(settings.options, executor=_Glance(), ray_address=None, journal=None)
    try:
        scored(model, few, layers, method, fitting(method, replace(settings, n_steps=STEPS, options=options)))
    except UserError as error:
        return error
    except _EnoughError:
        return None
    except Exception as error:
        log.warning("%s fails on %d examples: %s: %s", method, EXAMPLES, type(error).__name__, error)
    return None


def sound(model: nn.Module, few: Loader, layer: str, threads: int = 1) -> None:
    """Raise LayerError for a layer that no method can score."""
    with torch.inference_mode(False), fixed(model, threads, grad=True), Tape(model, [layer]) as tape:
        for batch in compute_batches(few, EXAMPLES, short=True):
            logits = tape.run(batch)
            check_finite(tape[layer][: batch.count], layer, batch)
            if logits.requires_grad:
                gradients = gradients_of(logits.sum(), tape.raw[layer], allow_unused=True)
                check_gradients([gradient for gradient in gradients if gradient is not None], layer)


def first(loader: Loader, most: int = EXAMPLES) -> list[dict[str, Tensor]]:
    """Loader of the first examples of the first batch."""
    return [{key: column[:most] for key, column in columns(batch).items()} for batch in islice(loader, 1)]


class _EnoughError(Exception):
    """Stops a check that found no error."""


class _Glance:
    """Executor that runs a single task per layer, without a progress bar."""

    name = "glance"

    def session(self) -> AbstractContextManager[None]:
        return nullcontext()

    def total(self, work: Callable[[Any, Any], Any], shared: Any, tasks: Iterable[Any], label: str, **_: Any) -> Any:
        if isinstance(shared, BatchStudy):
            return summed((work(shared, task) for task in tasks), None)
        seen: set[str] = set()
        for task in tasks:
            if task.layer in seen:
                continue
            seen.add(task.layer)
            work(shared, replace(task, part=shared.check))
        raise _EnoughError
