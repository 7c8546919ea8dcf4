"""Loss and accuracy of a network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ndg.activations.batches import COMPUTE_BATCH, compute_batches, fixed, forward
from ndg.data.examples import Examples


def evaluate(network: nn.Module, examples: Examples, batch: int = COMPUTE_BATCH) -> tuple[float, float]:
    """Mean cross entropy (nats) and accuracy in evaluation mode.

    Always in float32, whatever the precision of the training.
    """
    loss, correct = 0.0, 0
    with fixed(network, torch.get_num_threads()):
        for part in compute_batches(examples.loader(batch), batch):
            assert part.labels is not None
            logits = forward(network, part.inputs)[: part.count].cpu()
            loss += F.cross_entropy(logits, part.labels, reduction="sum").item()
            correct += int((logits.argmax(1) == part.labels).sum())
    return loss / len(examples), correct / len(examples)
