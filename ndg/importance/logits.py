"""The logit that a score is about, checked passes, and layers that the network does not read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ndg.activations.batches import Batch, Inputs, check_finite, compute_batches
from ndg.activations.hooks import Overwrite
from ndg.errors import LayerError
from ndg.gradients.tape import Tape
from ndg.importance.settings import Loader, Settings
from ndg.interventions.reach import Change, check_reach

Logits = Float[Tensor, "example logit"]


def classes_of(logits: Logits, settings: Settings) -> Int64[Tensor, " example"]:
    """Class of each example's logit: the target or the predicted class."""
    if settings.target is None:
        return logits.argmax(dim=1)
    return torch.full_like(logits[:, 0], settings.classes(logits.shape[1])[0], dtype=torch.int64)


def chosen(logits: Logits, classes: Int64[Tensor, " example"]) -> Float[Tensor, " example"]:
    """Logit of each example's class."""
    return logits.gather(1, classes[:, None])[:, 0]


def checked_pass(tape: Tape, batch: Batch, inputs: Inputs | None = None) -> Logits:
    """Logits of a batch; LayerError for NaN outputs of layers."""
    logits = tape.run(batch if inputs is None else inputs)
    check_numbers(batch, {layer: tape[layer] for layer in tape.layers}, logits)
    return logits


def check_numbers(batch: Batch, outputs: Mapping[str, Tensor], logits: Logits) -> None:
    """Raise LayerError for NaN outputs or logits."""
    for layer, values in outputs.items():
        check_finite(values[: batch.count], layer, batch)
    check_finite(logits[: batch.count], "logits", batch)


def check_read(model: nn.Module, loader: Loader, layers: Iterable[str], settings: Settings) -> None:
    """Raise LayerError for a layer whose output does not reach the logits.

    Call it for layers that score 0 in every unit. A layer that reaches the logits, by a gradient or by a change of its
    units, keeps its zeros. The loader must be readable twice; of others nothing is checked.
    """
    if iter(loader) is loader:
        return
    for layer in layers:
        (batch,) = islice(compute_batches(loader, settings.options.batch, short=True), 1)

        def changed(change: Change, layer: str = layer, batch: Batch = batch) -> Tensor:
            with Overwrite(model, layer, change):
                return tape.run(batch)

        with Tape(model, [layer]) as tape:
            logits = tape.run(batch)
            try:
                tape.gradients(logits.sum(dim=1), checked=False)
            except LayerError:
                output = tape.raw[layer][0].detach()
                with torch.no_grad():
                    check_reach(layer, logits.detach(), output, changed)
