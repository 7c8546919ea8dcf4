"""What the causal graph achieves over its controls, on networks trained three times.

MNIST and SST-2 need NDG_DATA and are left out without it. Nothing is chosen on the test examples. Networks are trained
once and kept in `--networks`, with the figures of each part.

    python -m benchmarks.causal [--json FILE] [--quick] [--only NAME ...] [--networks DIR]
        [--parts PART ...] [--resume]
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ndg
from benchmarks.causal_parts import PARTS, TEXT, Training
from benchmarks.frame import Figure, parser, run
from benchmarks.timing import median_seconds
from benchmarks.trained import experiment, home
from ndg import atomic
from ndg.causal import Effects, ForcingSettings, effects, forced_effects
from ndg.causal.recombination import INDEPENDENT, recombine
from ndg.data import absent
from ndg.locations import Locations

NETWORKS = ("digits_mlp", "digits_cnn", "mnist_cnn", TEXT)
SEEDS = 3
KEPT = "causal.json"
"""File in the folder of a training with the figures of its parts."""

WORST = {"certified_size": max, "faithful_accuracy_loss": max, "faithful_certified_size": max}
"""Figures of which the largest is the worst; of others it is the smallest."""


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser(__doc__)
    command.add_argument("--only", nargs="+", choices=NETWORKS, help="these networks alone")
    command.add_argument("--networks", type=Path, metavar="DIR", help="folder of the trained networks")
    command.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="these parts alone")
    command.add_argument("--resume", action="store_true", help="take finished parts of a training from its folder")
    options = command.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.networks or Path(temporary)
        names = options.only or (NETWORKS[:1] if options.quick else NETWORKS)
        seeds = 1 if options.quick else SEEDS
        parts: dict[str, Any] = {"planted": planted, "speed": partial(speed, options.quick)}
        parts["networks"] = partial(networks, names, seeds, folder, options.quick, options.parts, options.resume)
        return run(parts, options)


def networks(
    names: Sequence[str], seeds: int, folder: Path, quick: bool, parts: Sequence[str], resume: bool
) -> Iterator[Figure]:
    """Figures of each network, means over trainings, and then of the worst network."""
    worst: dict[str, list[float]] = defaultdict(list)
    for name in names:
        missing = absent(Locations.choose().place(experiment(name, 0)).data)
        if missing:
            print(f"  {name} is left out: {missing}")
            continue
        figures: dict[str, list[float]] = defaultdict(list)
        for seed in range(seeds):
            for key, value in training_figures(name, seed, folder, quick, parts, resume):
                figures[key].append(value)
        for key, values in figures.items():
            worst[key].append(float(np.mean(values)))
            yield f"{name}_{key}", worst[key][-1], " ".join(f"{value:.3f}" for value in values)
    for key, each in worst.items():
        yield key, WORST.get(key, min)(each), f"the worst of {len(each)} networks"


def training_figures(
    name: str, seed: int, folder: Path, quick: bool, parts: Sequence[str], resume: bool
) -> Iterator[tuple[str, float]]:
    """Figures of one training, kept in its folder part by part."""
    training, file = Training(name, seed, folder, quick), home(name, seed, folder, longer=True) / KEPT
    kept = json.loads(file.read_text()) if resume and file.is_file() else {}
    for part in parts:
        if (part == "text") != (name == TEXT):
            continue
        if part not in kept:
            started = time.process_time()
            figures = dict(PARTS[part](training))
            print(
                f"... {name}-{seed} {part}: {time.process_time() - started:.0f} s of CPU", file=sys.stderr, flush=True
            )
            kept = (json.loads(file.read_text()) if resume and file.is_file() else kept) | {part: figures}
            atomic.write(file, json.dumps(kept, indent=2) + "\n")
        yield from kept[part].items()


def planted() -> Iterator[Figure]:
    """Single edges of gates with common causes: those of hybrids, and those of plain examples, at the same rule."""
    generator = np.random.default_rng(0)
    cause = generator.random((4000, 6)) < 0.5
    units = np.repeat(cause, 2, axis=1) ^ (generator.random((4000, 12)) < 0.005)
    gates = [(0, 3), (4, 7), (8, 11), (2, 5)]
    model, truth = _gates(12, gates), {(unit, gate) for gate, pair in enumerate(gates) for unit in pair}
    x = torch.from_numpy(np.where(units, 30.0, -30.0)).float()
    loader = [(x, torch.zeros(len(x), dtype=torch.long))]
    plain = ndg.extract(model, loader, ["0", "1"])
    hybrids = recombine(model, loader, "0", INDEPENDENT, 20_000, like=plain)
    for name, bits in (("planted", hybrids), ("planted_observed", plain)):
        found = effects(bits, "0")
        columns = [place for place, node in enumerate(found.later) if node.startswith("1:")]
        strong = (np.abs(found.effect[:, columns]) > 0.1) & (found.q_values[:, columns] <= 0.05)
        edges = {(int(unit), int(gate)) for unit, gate in np.argwhere(strong)}
        right = len(edges & truth)
        yield (
            f"{name}_precision",
            right / max(len(edges), 1),
            f"{right} of {len(edges)} edges of {len(truth)} true ones",
        )
        yield f"{name}_recall", right / len(truth), "an edge: an effect above 0.1 at a false discovery rate of 0.05"


def _gates(units: int, gates: Sequence[tuple[int, int]]) -> torch.nn.Module:
    """Latents, ANDs of two of them, and a class."""
    latent, layer, out = torch.nn.Sigmoid(), torch.nn.Linear(units, len(gates)), torch.nn.Linear(len(gates), 2)
    with torch.no_grad():
        layer.weight.zero_()
        for gate, pair in enumerate(gates):
            layer.weight[gate, list(pair)] = 60.0
        layer.bias.fill_(-90.0)
        out.weight.copy_(torch.tensor([[0.0] * len(gates), [1.0] * len(gates)]))
        out.bias.copy_(torch.tensor([0.5, 0.0]))
    return torch.nn.Sequential(latent, layer, torch.nn.ReLU(), out).eval()


def speed(quick: bool) -> Iterator[Figure]:
    """Effects of 128 units on two layers of 512, by hybrids and by forcing each literal in turn on as many examples."""
    torch.manual_seed(0)
    units = 16 if quick else 128
    model = torch.nn.Sequential(
        torch.nn.Linear(32, units), torch.nn.Sigmoid(), torch.nn.Linear(units, 512), torch.nn.ReLU(),
        torch.nn.Linear(512, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10),
    ).eval()  # fmt: skip
    x = torch.randn(512 if quick else 4096, 32)
    loader = [(x, torch.zeros(len(x), dtype=torch.long))]
    bits = ndg.extract(model, loader, ["1", "2"])
    graph, options = ndg.mine(bits, "paper", alpha=2), ndg.RunOptions(executor="serial")

    def by_hybrids() -> Effects:
        return effects(recombine(model, loader, "1", INDEPENDENT, len(x), like=bits, options=options), "1")

    factorial = by_hybrids()
    hybrids = median_seconds({"hybrids": by_hybrids}, 5, time.process_time)["hybrids"]
    started = time.process_time()
    forced_effects(
        model, graph, loader, loader, factorial, settings=ForcingSettings(None, "mean", len(x)), options=options
    )
    forced = time.process_time() - started
    yield (
        "recombine_speedup",
        forced / hybrids,
        f"{forced:.2f} s of CPU by forcing {units} units, {hybrids:.2f} s by hybrids",
    )


if __name__ == "__main__":
    raise SystemExit(main())
