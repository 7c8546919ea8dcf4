"""Checks before interventions: the graph, its network, and its layers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from weakref import ReferenceType, ref

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from ndg.activations.batches import Batch, fixed, forward
from ndg.activations.digest import weights_digest
from ndg.errors import GraphError, LayerError
from ndg.graph.ndg import NDG

Change = Callable[[Tensor], Tensor]


def check_reach(layer: str, logits: Tensor, output: Tensor, run: Callable[[Change], Tensor]) -> None:
    """Raise LayerError for the logits or a layer that `reaches` none."""
    rows = len(logits)
    if output.shape[1:] == logits.shape[1:] and torch.equal(output[:rows], logits):
        raise LayerError(
            f"an intervention changes a layer before the logits; {layer!r} is the logits; choose a layer on the way "
            "from inputs to logits"
        )
    if not reaches(logits, output, run):
        raise LayerError(
            f"an intervention changes a layer before the logits; {layer!r} does not reach the logits, of which no bit "
            f"changed in {rows} examples when all its units did; choose a layer on the way from inputs to logits"
        )


def reaches(logits: Tensor, output: Tensor, run: Callable[[Change], Tensor]) -> bool:
    """Whether a layer changes the logits.

    One bit of one logit is enough.

    `output` is the layer's of one batch, `run` gives its logits under a change.
    """
    if not output.is_floating_point():
        return True
    size = float(output.abs().max()) + 1.0

    def turned(values: Tensor) -> Tensor:
        return torch.arange(values.numel(), device=values.device).reshape(values.shape) % 3 - 1.0

    changes: tuple[Change, ...] = (
        lambda values: (1 - values).to(values.dtype),
        lambda values: (-values - size).to(values.dtype),
        lambda values: (-values + size).to(values.dtype),
        lambda values: (values + 8 * size * turned(values)).to(values.dtype),
    )
    return any(not torch.equal(run(change)[: len(logits)], logits) for change in changes)


def check_before(model: nn.Module, changed: tuple[str, ...], batch: Batch, threads: int) -> None:
    """Raise LayerError for a changed layer after the logits."""
    ended: list[tuple[str, ReferenceType[Tensor] | None]] = []

    def end(path: str, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) and output else output
        ended.append((path, ref(first) if isinstance(first, Tensor) else None))

    with ExitStack() as stack:
        for path, module in model.named_modules():
            if path:
                stack.enter_context(module.register_forward_hook(lambda _, __, output, path=path: end(path, output)))
        stack.enter_context(fixed(model, threads))
        logits = forward(model, batch.inputs)
    gave = next((at for at, (_, output) in enumerate(ended) if output is not None and output() is logits), len(ended))
    for path, _ in ended[gave + 1 :]:
        if path in changed and not ended[gave][0].startswith(f"{path}."):
            raise LayerError(
                f"an intervention changes a layer before the logits; {path!r} runs after {ended[gave][0]!r} has given "
                "them; choose a layer on the way from inputs to logits"
            )


def thresholds_of(graph: NDG, layer: str) -> Float64[np.ndarray, " unit"]:
    """The thresholds of a layer's units; GraphError without any."""
    where = graph.nodes.slice(layer)
    thresholds = np.array(graph.thresholds[where.start - graph.nodes.labels : where.stop - graph.nodes.labels])
    if np.isnan(thresholds).any():
        raise GraphError(
            f"a trial sets neurons by the thresholds that the graph was mined with; those of {layer!r} are NaN; mine "
            "the graph from extracted bits, or pass them as bits= to NDG.from_networkx"
        )
    return thresholds


def check_network(model: nn.Module, graph: NDG, known: str | None = None) -> None:
    """Raise GraphError for a graph of other weights.

    `known` is the network's digest.
    """
    expected = graph.provenance.get("weights")
    if expected is None:
        return
    digest = weights_digest(model) if known is None else known
    if digest not in ("", expected):
        raise GraphError(
            f"a graph is tried on the network that it was mined from: expected weights of digest {expected}, got "
            f"{digest}; use the network that the graph was mined from, or pass any_network=True to try the graph on "
            "another one on purpose"
        )
