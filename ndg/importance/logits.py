"""The logit that a score is about, and checked passes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ndg.activations.batches import Batch, Inputs, check_finite
from ndg.gradients.tape import Tape
from ndg.importance.settings import Settings

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
