"""Measured accuracy without the least important weights of one layer at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ndg.activations.batches import Batch, compute_batches, fixed, forward
from ndg.activations.labels import true_labels
from ndg.activations.sampling import subset
from ndg.efficiency.importance import OBSERVED, check_kinds, of_part
from ndg.efficiency.observe import observe
from ndg.efficiency.parts import Part, parts_of
from ndg.errors import ConfigError, DataError
from ndg.options import RunOptions
from ndg.run_study import placed

SHARES = (0.0, 0.5, 0.8, 0.9, 0.95)
EXAMPLES, LAYERS = 512, 8
"""Most examples that are judged, and most layers: those with the most weights."""

Curve = list[tuple[float, float]]


def sensitivity(
    net: nn.Module,
    calibration: Iterable[Any],
    judged: Iterable[Any],
    layers: Iterable[str] | None = None,
    options: RunOptions = RunOptions(),
    *,
    importance: str = "activation",
    shares: Sequence[float] = SHARES,
) -> dict[str, Curve]:
    """Accuracy on `judged` with shares of a layer's weights at 0.

    The least important weights go first.

    Importance is measured on `calibration`. Raises DataError without true classes, ConfigError for an importance that
    needs the loss.
    """
    (kind,) = check_kinds([importance])
    if kind not in ("magnitude", *OBSERVED):
        raise ConfigError(f"sensitivity is by magnitude, activation or wanda; got {importance!r}; choose one of them")
    net = placed(net, options)
    parts = sorted(parts_of(net, layers), key=lambda part: -part.weight.numel())[:LAYERS]
    batches = list(compute_batches(subset(judged, EXAMPLES, options.seed), options.batch, short=True))
    if not batches or any(batch.labels is None for batch in batches):
        raise DataError("accuracy needs examples with their true classes; give (inputs, labels)")
    seen = observe(net, calibration, parts, options, inputs=kind == "wanda", deep=False)
    return {
        part.name: [(share, _accuracy(without(net, part, of_part(part, kind, seen), share), batches, options))
                    for share in shares]
        for part in parts
    }  # fmt: skip


@torch.no_grad()
def without(net: nn.Module, part: Part, importance: np.ndarray, share: float) -> nn.Module:
    """Copy of the network whose least important weights of a part are 0."""
    changed = copy.deepcopy(net)
    tensors = [changed.get_submodule(part.layer).get_parameter(name) for name in part.names]
    ends = np.cumsum([0, *(tensor.numel() for tensor in tensors)])
    numbers = [
        torch.arange(start, start + tensor.numel()).reshape(tensor.shape)
        for start, tensor in zip(ends, tensors, strict=False)
    ]
    order = np.argsort(importance, axis=None, kind="stable")[: int(share * importance.size)]
    chosen = part.of(numbers).reshape(-1)[torch.from_numpy(order)]
    for start, tensor in zip(ends, tensors, strict=False):
        own = chosen[(chosen >= start) & (chosen < start + tensor.numel())] - start
        tensor.view(-1)[own.to(tensor.device)] = 0
    return changed


def _accuracy(net: nn.Module, batches: Sequence[Batch], options: RunOptions) -> float:
    correct = examples = 0
    with fixed(net, options.threads):
        for batch in batches:
            logits = forward(net, batch.inputs)[: batch.count].cpu()
            assert batch.labels is not None
            correct += int((logits.argmax(dim=1) == true_labels(batch.labels, batch.count, logits.shape[1])).sum())
            examples += batch.count
    return correct / examples
