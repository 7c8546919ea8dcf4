"""Floating-point operations, memory and time of each layer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ndg.activations.batches import Batch, fixed, output_of, pick
from ndg.units.heads import unfused


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of one example: of the network, and by module path."""

    whole: int
    by_layer: dict[str, int]


def flops(model: nn.Module, batch: Batch) -> Flops:
    """Operations of one example, a multiplication and an addition counting as two.

    Counted are matrix products, convolutions and attention, by `torch.utils.flop_counter` on kernels that it counts
    exactly: attention as plain products, and neither MKL-DNN nor the fused encoder layer.
    """
    counter = FlopCounterMode(display=False)
    single = pick(batch.inputs, torch.arange(1))
    with (
        fixed(model),
        unfused(),
        sdpa_kernel(SDPBackend.MATH),
        _without_mkldnn(),
        counter,
    ):
        output_of(model, single)
    counts = counter.get_flop_counts()
    name = type(model).__name__
    by_layer = {
        path.removeprefix(f"{name}."): sum(count.values())
        for path, count in counts.items()
        if path.startswith(f"{name}.")
    }
    return Flops(sum(counts.get("Global", {}).values()), by_layer)


@contextmanager
def _without_mkldnn() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TF32 acceleration")  # of reading the flags that are set
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def median_seconds(seconds: Sequence[float]) -> float | None:
    """Median of measured times, None of none."""
    return sorted(seconds)[len(seconds) // 2] if seconds else None
