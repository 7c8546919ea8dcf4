"""Interchange on pairs of one pool against pyvene, in one process, the two taking turns.

    python -m benchmarks.interchange [--json FILE] [--quick]

The same 2,048 pairs from a pool of 128 examples, half of the units of a hidden layer of a 12-layer ViT, equal outputs.
pyvene runs as fast as it can: activations of the sources are taken before the clock starts, no gradients, the quickest
of several batch sizes. Without the package `speedup_vs_pyvene_...` is left out; `make bench` installs it.

Then the same study of interchanges in one process and by two Ray workers (`benchmarks.ray_gain`), and how many examples
the trial of Q takes in a second on the MNIST network.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.frame import Figure, Figures, WrongResultError, parser, run
from benchmarks.ray_gain import ROUNDS, gain
from benchmarks.timing import median_seconds
from ndg.abstraction.interchange.families import families
from ndg.abstraction.interchange.study import Study
from ndg.activations.batches import compute_batches
from ndg.activations.hooks import Trace
from ndg.allocation import keep_blocks
from ndg.discovery import mine
from ndg.extraction import ReadingSettings, extract
from ndg.interventions.passes import Passes
from ndg.interventions.pool import gather
from ndg.interventions.swap import swap
from ndg.options import RunOptions
from ndg.run_study import run_task

WIDTH, SIDE, BATCH = 128, 24, 32
EQUAL = 1e-5


@dataclass(frozen=True)
class Sizes:
    """How much is measured; each side takes the quickest of the batch sizes."""

    pairs: int = 2048
    pool: int = 128
    layers: int = 12
    rounds: int = 5
    batches: tuple[int, ...] = (32, 64, 128, 256)
    tasks: int = 8
    images: int = 10_000


QUICK = Sizes(pairs=64, pool=16, layers=2, rounds=1, batches=(32,), tasks=2, images=256)


def network(layers: int) -> nn.Module:
    """A small ViT with random weights."""
    from transformers import ViTConfig, ViTForImageClassification

    settings: dict[str, Any] = {
        "hidden_size": WIDTH,
        "num_hidden_layers": layers,
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


def quickest(call: Callable[[int], Any], batches: Sequence[int]) -> int:
    """The batch size at which a call takes least."""
    calls: dict[str, Callable[[], Any]] = {str(size): partial(call, size) for size in batches}
    seconds = median_seconds(calls, rounds=1)
    return int(min(seconds, key=seconds.__getitem__))


def at_layer(model: nn.Module, pairs: Pairs, sizes: Sizes) -> tuple[float, str]:
    """How many times as fast, and what was compared. Raises WrongResultError when the outputs differ."""
    intervenable, held = prepared(model, pairs)
    few = pairs.first(2 * max(sizes.batches))
    mine = quickest(lambda size: ours(model, few, size), sizes.batches)
    other = quickest(lambda size: theirs(intervenable, held, few, size), sizes.batches)
    apart = float((ours(model, pairs, mine) - theirs(intervenable, held, pairs, other)).abs().max())
    if not apart <= EQUAL:
        raise WrongResultError(f"outputs at layer {pairs.number} differ by {apart:g}, more than {EQUAL:g}")
    calls = {"ours": lambda: ours(model, pairs, mine), "pyvene": lambda: theirs(intervenable, held, pairs, other)}
    seconds = median_seconds(calls, sizes.rounds)
    return seconds["pyvene"] / seconds["ours"], (
        f"times as fast: {seconds['ours']:.2f} s, batch {mine}, against {seconds['pyvene']:.2f} s, batch {other}; "
        f"{torch.get_num_threads()} threads, outputs differ by {apart:.1g}"
    )


def against_pyvene(sizes: Sizes) -> Iterator[Figure]:
    """The last and the first hidden layer."""
    if importlib.util.find_spec("pyvene") is None:
        print("pyvene is not installed: pip install --no-deps pyvene", file=sys.stderr)
        return
    model = network(sizes.layers)
    images = torch.randn(sizes.pool, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    base, source = np.random.default_rng(0).integers(0, sizes.pool, (2, sizes.pairs))
    for name, number in (("last", sizes.layers - 1), ("first", 0)):
        with torch.inference_mode():
            pairs = Pairs(images, base, source, hidden(model), number, WIDTH // 2)
            speedup, description = at_layer(model, pairs, sizes)
        yield f"speedup_vs_pyvene_{name}", speedup, description


def by_ray(sizes: Sizes) -> Figures:
    """A study of interchanges at the first hidden layer, in one process and by two workers."""
    model = network(sizes.layers)
    layer = f"{hidden(model)}.0"
    images = torch.randn(sizes.tasks * BATCH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    loader = [{"pixel_values": part} for part in images.split(BATCH)]
    bits = extract(model, loader, layers=[layer], settings=ReadingSettings(binarizer="median", tokens="mean"))
    graph = mine(bits, "confidence", confidence=0.9, support=20)
    passes = Passes.of(model, graph, [layer])
    study = Study(
        passes=passes,
        graph=graph,
        mixed=None,
        pool=gather(passes, loader, sizes.pool, seed=0, batch=BATCH),
        families=families(graph, [layer], ["layer"], {"half": [f"{layer}:{unit}" for unit in range(WIDTH // 2)]}),
        random=False,
        seed=0,
    )
    return gain(
        run_task,
        study,
        list(compute_batches(loader, BATCH)),
        rounds=min(sizes.rounds, ROUNDS),
        with_threads=lambda study, threads: replace(study, passes=replace(study.passes, threads=threads)),
    ).figures()


def q_on_mnist(sizes: Sizes) -> Figures:
    """The trial of Q with its four controls on the network of Hu & Tian 2022, over MNIST's test images
    where NDG_DATA has them, else over noise, which costs as much. Weights are random: they cost as much, too."""
    from ndg import data
    from ndg.abstraction.trial import TrialSettings, trials
    from ndg.config import CNN, Data
    from ndg.models import build

    data_settings = Data(name="mnist", dir=os.environ.get("NDG_DATA"))
    if data.absent(data_settings) is None:
        batches, what = (
            list(data.load(data_settings).test.loader(256))[: sizes.images // 256 + 1],
            "MNIST's test images",
        )
    else:
        made = torch.Generator().manual_seed(0)
        noise = torch.rand(sizes.images, 1, 28, 28, generator=made), torch.randint(10, (sizes.images,), generator=made)
        batches, what = list(zip(*(part.split(256) for part in noise), strict=True)), "noise"
    model = build(CNN(), (1, 28, 28), 10, 0)
    graph = mine(
        extract(model, batches, settings=ReadingSettings(binarizer="median")), "confidence", confidence=0.7, support=20
    )
    count = sum(len(labels) for _, labels in batches)
    settings, options = TrialSettings(values="boolean"), RunOptions(executor="serial")
    seconds = median_seconds(
        {"q": lambda: trials(model, graph, batches, ["Q"], settings=settings, options=options)}, sizes.rounds
    )["q"]
    how = f"Q and its controls, one thread, {count:,} examples: {what}"
    return {"examples_per_second": (count / seconds, how)}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__).parse_args(arguments)
    keep_blocks()
    sizes = QUICK if options.quick else Sizes()
    return run(
        {
            "pyvene": partial(against_pyvene, sizes),
            "two Ray workers": partial(by_ray, sizes),
            "Q on MNIST": partial(q_on_mnist, sizes),
        },
        options,
    )


if __name__ == "__main__":
    raise SystemExit(main())
