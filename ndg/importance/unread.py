"""Refuse layers whose output the network does not read."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from ndg.activations.batches import Batch, compute_batches
from ndg.activations.hooks import Overwrite
from ndg.errors import LayerError
from ndg.gradients.tape import Tape
from ndg.importance.settings import Settings
from ndg.interventions.reach import Change, check_reach


def check_read(model: nn.Module, loader: Iterable[Any], layers: Iterable[str], settings: Settings) -> None:
    """Raise LayerError for a layer whose output does not reach the logits, such as that of a GRU read by its state.

    Call it for layers that score 0 in every unit. A layer that reaches the logits, by a gradient or by a change of its
    units, keeps its zeros. The loader must be readable twice; of others nothing is checked.
    """
    layers = tuple(layers)
    if not layers or iter(loader) is loader:
        return
    (batch,) = islice(compute_batches(loader, settings.options.batch, short=True), 1)
    for layer in layers:
        with Tape(model, [layer]) as tape:
            logits = tape.run(batch)
            try:
                tape.gradients(logits.sum(dim=1), checked=False)
            except LayerError:
                output = tape.raw(layer)[0].detach()
                with torch.no_grad():
                    check_reach(layer, logits.detach(), output, partial(_changed, tape, model, layer, batch))


def _changed(tape: Tape, model: nn.Module, layer: str, batch: Batch, change: Change) -> Tensor:
    with Overwrite(model, layer, change):
        return tape.run(batch)
