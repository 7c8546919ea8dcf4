"""Label-free distillation: a smaller network is trained on the logits of the original."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ndg import seeds
from ndg.activations.batches import bare, columns, fixed, forward, join, pick, rows_of
from ndg.options import RunOptions

ROWS, RATE = 128, 1e-3


def distilled(
    network: nn.Module, original: nn.Module, loader: Iterable[Any], steps: int, options: RunOptions
) -> nn.Module:
    """A copy of a network after some steps of Adam on the divergence from the original's predictions.

    No labels are read. The rate falls to 0 as a cosine; norms keep their statistics.
    """
    tensors = join([{key: value for key, value in columns(batch).items() if key != "labels"} for batch in loader])
    inputs = bare(tensors)
    with fixed(original, options.threads):
        parts = torch.arange(rows_of(inputs)).split(options.batch)
        wanted = torch.cat([forward(original, pick(inputs, part)) for part in parts])
    student = copy.deepcopy(network)
    weights = [weight.requires_grad_() for weight in student.parameters() if weight.is_floating_point()]
    optimizer = torch.optim.Adam(weights, RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = seeds.generator(options.seed, "distillation")
    with fixed(student, options.threads, grad=True):
        for _ in range(steps):
            chosen = torch.from_numpy(generator.integers(0, len(wanted), min(ROWS, len(wanted))))
            output = forward(student, pick(inputs, chosen)).log_softmax(1)
            loss = functional.kl_div(output, wanted[chosen].log_softmax(1), reduction="batchmean", log_target=True)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return student
