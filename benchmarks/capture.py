"""Extraction against a bare forward pass of the same network over the same compute batches.

python -m benchmarks.capture [--json FILE]
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch import nn

from benchmarks.timing import report
from ndg.activations.batches import Batch, compute_batches, fixed
from ndg.config import CNN
from ndg.extraction import extract
from ndg.models.cnn import ConvNet

THREADS, ROUNDS = (1, 2), 7


def cnn() -> tuple[nn.Module, torch.Tensor, list[str]]:
    """The network of Hu & Tian 2022 for MNIST and its 32 latents."""
    torch.manual_seed(0)
    model = ConvNet(CNN(channels=(32, 64), width=128, latent=32), (1, 28, 28), 10)
    return model, torch.rand(1024, 1, 28, 28), ["latent"]


def vit() -> tuple[nn.Module, torch.Tensor, list[str]]:
    """A vision transformer of 12 layers (width 192, 3 heads) and all 9,216 units of its MLPs, after the activation."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}
    settings = ViTConfig(**sizes, num_hidden_layers=12, image_size=64, patch_size=16, num_labels=10)
    return ViTForImageClassification(settings), torch.rand(512, 3, 64, 64), [r".*\.mlp\.activation_fn"]


def bare(model: nn.Module, batches: list[Batch], threads: int) -> None:
    """The forward passes alone, over batches that are cut already."""
    with fixed(model, threads):
        for one in batches:
            model(one.inputs)


def overhead(model: nn.Module, inputs: torch.Tensor, layers: list[str], threads: int, **how: Any) -> float:
    """Seconds of an extraction over those of the bare forward passes: the median of rounds in which both take turns."""
    loader = list(inputs.split(100))
    batches = list(compute_batches(loader))
    calls = [
        lambda: bare(model, batches, threads),
        lambda: extract(model, loader, layers, threads=threads, **how),
    ]
    ratios = []
    for number in range(-1, ROUNDS):
        spent = {}
        for which in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            calls[which]()
            spent[which] = time.perf_counter() - started
        if number >= 0:  # the round before warms up
            ratios.append(spent[1] / spent[0])
    return statistics.median(ratios)


def figures() -> dict[str, tuple[float, str]]:
    """What capture costs, as ratios to a bare forward pass."""
    found: dict[str, tuple[float, str]] = {}
    networks = {"cnn": (cnn(), "paper CNN, 32 latents"), "vit": (vit(), "ViT of 12 layers, 9,216 MLP units")}
    for threads in THREADS:
        with_threads = f"{threads} thread{'s' * (threads > 1)}"
        for name, (network, what) in networks.items():
            ratio = overhead(*network, threads)
            found[f"capture_overhead_{name}_{threads}"] = ratio, f"times a bare forward pass, {what}, {with_threads}"
    every = overhead(*networks["vit"][0], THREADS[0], tokens="every")
    found["capture_overhead_every_token"] = every, "the same ViT, every token an example, 1 thread"
    median = overhead(*networks["cnn"][0], THREADS[0], binarizer="median")
    found["capture_overhead_median"] = median, "paper CNN with fitted thresholds, which take a second pass"
    worst = max(found[f"capture_overhead_{name}_{threads}"][0] for name in networks for threads in THREADS)
    return {"capture_overhead": (worst, "the largest of the four that follow")} | found


def main() -> None:
    report("capture", figures())


if __name__ == "__main__":
    main()
