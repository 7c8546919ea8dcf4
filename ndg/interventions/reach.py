"""Check that a change of a layer can reach the logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ndg.activations.batches import Inputs
from ndg.errors import DataError, LayerError, NDGError

Change = Callable[[Tensor], Tensor]


def check_reach(layer: str, logits: Tensor, output: Tensor, run: Callable[[Change], Tensor]) -> None:
    """Raise LayerError for a layer that is the logits, or that does not change them.

    `output` is the layer's of one batch, and `run` gives the logits of that batch under a change of it. One bit of one
    logit is enough.
    """
    rows = len(logits)
    if output.shape[1:] == logits.shape[1:] and torch.equal(output[:rows], logits):
        raise LayerError(
            f"an intervention changes a layer before the logits; {layer!r} is the logits; choose a layer on the way "
            "from inputs to logits"
        )
    if not output.is_floating_point():
        return
    size = float(output.abs().max()) + 1.0

    def turned(given: Tensor) -> Tensor:
        return torch.arange(given.numel(), device=given.device).reshape(given.shape) % 3 - 1.0

    changes: tuple[Change, ...] = (
        lambda given: (1 - given).to(given.dtype),
        lambda given: (-given - size).to(given.dtype),
        lambda given: (-given + size).to(given.dtype),
        lambda given: (given + 8 * size * turned(given)).to(given.dtype),
    )
    for change in changes:
        if not torch.equal(run(change)[:rows], logits):
            return
    raise LayerError(
        f"an intervention changes a layer before the logits; {layer!r} does not reach the logits, of which no bit "
        f"changed in {rows} examples when all its units did; choose a layer on the way from inputs to logits"
    )


@contextmanager
def taking(model: nn.Module, inputs: Inputs) -> Iterator[None]:
    """Turn errors of a network on wrong inputs into DataError with their shapes."""
    try:
        yield
    except (NDGError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        columns = inputs if isinstance(inputs, dict) else {"inputs": inputs}
        shapes = {key: tuple(column.shape) for key, column in columns.items()}
        raise DataError(
            f"a network takes what its loader gives; {type(model).__name__} given {shapes} raised "
            f"{type(error).__name__}: {str(error).strip() or 'no message'}; call network(inputs) with one batch of the "
            "loader to see where"
        ) from error
