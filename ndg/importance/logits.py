"""The scored logit, checked passes, and layers without a reader."""

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
from ndg.interventions.reach import Change, check_reach, reaches
from ndg.progress import log

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


def check_read(model: nn.Module, loader: Loader, layers: Iterable[str], size: int) -> None:
    """Raise LayerError for a layer that no path joins to the logits.

    Warn of one that never changes them.

    It is tried on the first compute batch. The loader must be readable twice; of others nothing is checked.
    """
    layers = tuple(layers)
    if not layers or iter(loader) is loader:
        return
    (batch,) = islice(compute_batches(loader, size, short=True), 1)
    for layer in layers:

        def changed(change: Change, layer: str = layer) -> Tensor:
            with Overwrite(model, layer, change):
                return tape.run(batch)

        with torch.enable_grad(), Tape(model, [layer]) as tape:
            logits = tape.run(batch)
            path = True
            try:
                tape.gradients(logits.sum(dim=1), checked=False)
            except LayerError:
                path = False
            output, logits = tape.raw[layer][0].detach(), logits.detach()
            with torch.no_grad():
                if not path:
                    check_reach(layer, logits, output, changed)
                elif not reaches(logits, output, changed):
                    log.warning(
                        "a layer on the way to the logits changes them; %r is read, but no bit of the logits of %d "
                        "examples changed when all its units did (what it gives is multiplied by 0, or only dead units "
                        "follow), so that all its units have importance 0; choose another layer if that is not meant",
                        layer,
                        len(logits),
                    )
