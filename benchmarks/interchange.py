"""Interchange on pairs of one pool against pyvene, in one process, the two taking turns.

    python -m benchmarks.interchange [--json FILE] [--quick]

The same 2,048 pairs from a pool of 128 examples, half of the units of a hidden layer of a 12-layer ViT, equal outputs.
pyvene runs as fast as it can: activations of the sources are taken before the clock starts, no gradients, the quickest
of several batch sizes. It is no dependency; without it `speedup_vs_pyvene_...` is left out:

    pip install --no-deps pyvene

Then the same study of interchanges in one process and by two Ray workers (`benchmarks.ray_gain`), and how many examples
the trial of Q takes in a second on the MNIST network.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.ray_gain import gain
from benchmarks.timing import median_seconds, report
from ndg.abstraction.interchange.families import families
from ndg.abstraction.interchange.pool import gather
from ndg.abstraction.interchange.study import Study, work
from ndg.activations.batches import compute_batches
from ndg.activations.hooks import Trace
from ndg.allocation import keep_blocks
from ndg.discovery import mine
from ndg.extraction import extract
from ndg.interventions.passes import Passes
from ndg.interventions.swap import swap

PAIRS, POOL, LAYERS, WIDTH = 2048, 128, 12, 128
SIDE = 24
ROUNDS = 5
SIZES = (32, 64, 128, 256)
"""Batch sizes of which each side takes its quickest."""

EQUAL = 1e-5
TASKS, BATCH = 8, 32
IMAGES = 10_000

Figures = dict[str, tuple[float, str]]


def network() -> nn.Module:
    """A small ViT with random weights."""
    from transformers import ViTConfig, ViTForImageClassification

    settings: dict[str, Any] = {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": 4 * WIDTH,
        "image_size": SIDE,
        "patch_size": 4,
        "num_labels": 10,
    }
    torch.manual_seed(0)
    return ViTForImageClassification(ViTConfig(**settings)).eval()


def hidden(model: nn.Module) -> str:
    """The path of the list of hidden layers."""
    return next(name for name, part in model.named_modules() if isinstance(part, nn.ModuleList))


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows of a pool, and the layer at which the first `units` of the base become the source's."""

    images: Tensor
    base: np.ndarray
    source: np.ndarray
    layers: str
    number: int
    units: int

    def first(self, many: int) -> Pairs:
        return replace(self, base=self.base[:many], source=self.source[:many])


def ours(model: nn.Module, pairs: Pairs, batch: int) -> Tensor:
    """Logits by `swap`."""
    return swap(
        model,
        {"pixel_values": pairs.images},
        f"{pairs.layers}.{pairs.number}",
        range(pairs.units),
        pairs.base,
        pairs.source,
        batch=batch,
        threads=torch.get_num_threads(),
    )


def prepared(model: nn.Module, pairs: Pairs) -> tuple[Any, Tensor]:
    """pyvene's model, and the layer's outputs of the whole pool."""
    import pyvene  # type: ignore[import-untyped, unused-ignore]

    intervention = pyvene.VanillaIntervention(embed_dim=WIDTH)
    intervention.set_interchange_dim(pairs.units)
    component = f"{pairs.layers}[{pairs.number}].output"
    config = pyvene.IntervenableConfig([pyvene.RepresentationConfig(component=component, intervention=intervention)])
    with Trace(model, [f"{pairs.layers}.{pairs.number}"]) as trace:
        model(pixel_values=pairs.images)
        held = trace[f"{pairs.layers}.{pairs.number}"].clone()
    return pyvene.IntervenableModel(config, model), held


def theirs(intervenable: Any, held: Tensor, pairs: Pairs, batch: int) -> Tensor:
    """Logits by pyvene."""
    found = []
    for start in range(0, len(pairs.base), batch):
        rows, givers = (torch.from_numpy(part[start : start + batch]) for part in (pairs.base, pairs.source))
        _, after = intervenable({"pixel_values": pairs.images[rows]}, source_representations=held[givers])
        found.append(after.logits)
    return torch.cat(found)


def quickest(call: Callable[[int], Any]) -> int:
    """The batch size at which a call takes least."""
    calls: dict[str, Callable[[], Any]] = {str(size): partial(call, size) for size in SIZES}
    seconds = median_seconds(calls, rounds=1)
    return int(min(seconds, key=seconds.__getitem__))


def at_layer(model: nn.Module, pairs: Pairs, rounds: int) -> tuple[float, str]:
    """How many times as fast, and what was compared. Ends with a message when the outputs differ."""
    intervenable, held = prepared(model, pairs)
    few = pairs.first(2 * max(SIZES))
    mine = quickest(lambda size: ours(model, few, size))
    other = quickest(lambda size: theirs(intervenable, held, few, size))
    apart = float((ours(model, pairs, mine) - theirs(intervenable, held, pairs, other)).abs().max())
    if not apart <= EQUAL:
        raise SystemExit(f"the outputs at layer {pairs.number} differ by {apart:g}; they must be equal to {EQUAL:g}")
    calls = {"ours": lambda: ours(model, pairs, mine), "pyvene": lambda: theirs(intervenable, held, pairs, other)}
    seconds = median_seconds(calls, rounds)
    return seconds["pyvene"] / seconds["ours"], (
        f"times as fast: {seconds['ours']:.2f} s, batch {mine}, against {seconds['pyvene']:.2f} s, batch {other}; "
        f"{torch.get_num_threads()} threads, outputs differ by {apart:.1g}"
    )


def against_pyvene(rounds: int) -> Figures:
    """The last and the first hidden layer."""
    if importlib.util.find_spec("pyvene") is None:
        print("pyvene is not installed: pip install --no-deps pyvene", file=sys.stderr)
        return {}
    model = network()
    images = torch.randn(POOL, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    base, source = np.random.default_rng(0).integers(0, POOL, (2, PAIRS))
    with torch.inference_mode():
        return {
            f"speedup_vs_pyvene_{name}": at_layer(
                model, Pairs(images, base, source, hidden(model), number, WIDTH // 2), rounds
            )
            for name, number in (("last", LAYERS - 1), ("first", 0))
        }


def by_ray() -> Figures:
    """A study of interchanges at the first hidden layer, in one process and by two workers."""
    model = network()
    layer = f"{hidden(model)}.0"
    images = torch.randn(TASKS * BATCH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    loader = [{"pixel_values": part} for part in images.split(BATCH)]
    bits = extract(model, loader, layers=[layer], binarizer="median", tokens="mean")
    graph = mine(bits, "confidence", confidence=0.9, support=20)
    passes = Passes.of(model, graph, [layer])
    study = Study(
        passes=passes,
        graph=graph,
        mixed=None,
        pool=gather(passes, loader, POOL, seed=0, batch=BATCH),
        families=families(graph, [layer], ["layer"], {"half": [f"{layer}:{unit}" for unit in range(WIDTH // 2)]}),
        random=False,
        seed=0,
    )
    return gain(
        work,
        study,
        list(compute_batches(loader, BATCH)),
        with_threads=lambda study, threads: replace(study, passes=replace(study.passes, threads=threads)),
    ).figures()


def q_on_mnist() -> Figures:
    """The trial of Q with its four controls on the network of Hu & Tian 2022, over 10,000 images: MNIST's test images
    where NDG_DATA has them, else uniform noise, which costs as much. Weights are random: they cost as much, too."""
    from ndg import data
    from ndg.abstraction.trial import trials
    from ndg.config import CNN, Data
    from ndg.models import build

    settings = Data(name="mnist", dir=os.environ.get("NDG_DATA"))
    if data.absent(settings) is None:
        batches, what = list(data.load(settings).test.loader(256)), "MNIST's test images"
    else:
        made = torch.Generator().manual_seed(0)
        noise = torch.rand(IMAGES, 1, 28, 28, generator=made), torch.randint(10, (IMAGES,), generator=made)
        batches, what = list(zip(*(part.split(256) for part in noise), strict=True)), "noise"
    model = build(CNN(), (1, 28, 28), 10, 0)
    graph = mine(extract(model, batches, binarizer="median"), "confidence", confidence=0.7, support=20)
    count = sum(len(labels) for _, labels in batches)
    seconds = median_seconds(
        {"q": lambda: trials(model, graph, batches, ["Q"], executor="serial", values="boolean")}, ROUNDS
    )["q"]
    how = f"Q and its controls, one thread, {count:,} examples: {what}"
    return {"examples_per_second": (count / seconds, how)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    asked = parser.parse_args()
    keep_blocks()
    figures = against_pyvene(3 if asked.quick else ROUNDS) | by_ray() | q_on_mnist()
    report("interchange", figures, asked.json)


if __name__ == "__main__":
    main()
