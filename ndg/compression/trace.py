"""Trace of units through a network, on a graph of `torch.export`.

Nothing is decided by the names of classes: a layer that makes or reads units is an operation (`linear`, `conv2d`,
`lstm`, ...) whose weights are parameters of one module. Operations that only move numbers are run on the labels; those
that act on single numbers keep them; attention unites the units of a head. Any other operation refuses them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from ndg.activations.batches import Inputs, by_name, fixed, forward, pick
from ndg.compression.refusals import check_weights
from ndg.compression.rules import MAKERS, RULES, pointwise
from ndg.compression.walk import Trace, Walk
from ndg.errors import LayerError

ROWS = 3
"""Examples of a trace: a number that no other axis is likely to have."""


class _Logits(nn.Module):
    """The logits of a network alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Any) -> Tensor:
        return forward(self.model, inputs)


def trace(model: nn.Module, inputs: Inputs) -> Trace:
    """Labels of all units.

    Raises LayerError for weights from which nothing can be taken, and for networks that cannot be exported.
    """
    check_weights(model)
    few = pick(inputs, torch.arange(ROWS) % len(next(iter(by_name(inputs).values()))))
    wrapped = _Logits(model)
    with fixed(model, torch.get_num_threads(), grad=True), _plain_attention():
        try:
            program = torch.export.export(wrapped, (few,), strict=False)
        except Exception as error:
            raise LayerError(
                f"a network that is compressed can be exported by torch.export; {type(model).__name__} cannot "
                f"({str(error).splitlines()[0] if str(error) else type(error).__name__}); let its forward not depend "
                "on the values of tensors"
            ) from error
    walk = Walk(model, program, MAKERS, RULES, pointwise)
    needed = _needed(program.graph.nodes)
    for node in program.graph.nodes:
        if node in needed:
            walk.visit(node)
    walk.trace.atoms.apply_rules()
    return walk.trace


def _needed(nodes: Iterable[Node]) -> set[Node]:
    """The nodes that lead to the logits."""
    needed: set[Node] = set()
    for node in reversed(list(nodes)):
        if node.op == "output" or node in needed:
            needed |= {node, *node.all_input_nodes}
    return needed


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Attention as single operations."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The tensor attributes", category=UserWarning)  # of LSTMs
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
