"""Extraction against a bare forward pass of the same network over the same compute batches.

    python -m benchmarks.capture [--json FILE] [--quick]

`--quick`: one round, fewer examples, a ViT of two layers.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.frame import Figure, Part, parser, run
from ndg.activations.batches import Batch, compute_batches, fixed
from ndg.config import CNN
from ndg.extraction import ReadingSettings, extract
from ndg.models import build
from ndg.options import RunOptions

THREADS, ROUNDS = (1, 2), 7


def cnn(examples: int = 1024) -> tuple[nn.Module, torch.Tensor, list[str]]:
    """The network of Hu & Tian 2022 for MNIST and its 32 latents."""
    model = build(CNN(channels=[32, 64], width=128, latent=32), (1, 28, 28), 10, seed=0)
    return model, torch.rand(examples, 1, 28, 28), ["latent"]


def vit(examples: int = 512, depth: int = 12) -> tuple[nn.Module, torch.Tensor, list[str]]:
    """A vision transformer (width 192, 3 heads) and all 768 units of each MLP, after the activation."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}
    settings = ViTConfig(**sizes, num_hidden_layers=depth, image_size=64, patch_size=16, num_labels=10)
    return ViTForImageClassification(settings), torch.rand(examples, 3, 64, 64), [r".*\.mlp\.activation_fn"]


def bare(model: nn.Module, batches: list[Batch], threads: int) -> None:
    """Run the forward passes alone, over batches that are cut already."""
    with fixed(model, threads):
        for batch in batches:
            model(batch.inputs)


def overhead(
    model: nn.Module, inputs: torch.Tensor, layers: list[str], threads: int, rounds: int = ROUNDS, **how: Any
) -> float:
    """Seconds of an extraction over those of the bare forward passes: the median of rounds in which both take turns."""
    loader = list(inputs.split(100))
    settings, options = ReadingSettings(**how), RunOptions(threads=threads)
    batches = list(compute_batches(loader))
    calls = [
        lambda: bare(model, batches, threads),
        lambda: extract(model, loader, layers, settings=settings, options=options),
    ]
    ratios = []
    for number in range(-1, rounds):
        spent = {}
        for which in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            calls[which]()
            spent[which] = time.perf_counter() - started
        if number >= 0:  # the round before warms up
            ratios.append(spent[1] / spent[0])
    return statistics.median(ratios)


def figures(quick: bool = False) -> Iterator[Figure]:
    """What capture costs, as ratios to a bare forward pass."""
    rounds = 1 if quick else ROUNDS
    networks = {
        "cnn": (cnn(256) if quick else cnn(), "paper CNN, 32 latents"),
        "vit": (vit(64, 2), "ViT of 2 layers") if quick else (vit(), "ViT of 12 layers, 9,216 MLP units"),
    }
    ratios = []
    for threads in THREADS:
        for name, (network, what) in networks.items():
            ratios.append(overhead(*network, threads, rounds))
            with_threads = f"{threads} thread{'s' * (threads > 1)}"
            yield f"capture_overhead_{name}_{threads}", ratios[-1], f"times a forward pass, {what}, {with_threads}"
    yield "capture_overhead", max(ratios), f"the largest of these {len(ratios)}"
    every = overhead(*networks["vit"][0], THREADS[0], rounds, tokens="every")
    yield "capture_overhead_every_token", every, "the same ViT, every token an example, 1 thread"
    median = overhead(*networks["cnn"][0], THREADS[0], rounds, binarizer="median")
    yield "capture_overhead_median", median, "paper CNN with fitted thresholds, which take a second pass"


def parts(quick: bool = False) -> dict[str, Part]:
    """The parts of this benchmark."""
    return {"capture": partial(figures, quick)}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__).parse_args(arguments)
    return run(parts(options.quick), options)


if __name__ == "__main__":
    raise SystemExit(main())
