"""What the causal graph achieves over its controls, on networks trained three times.

MNIST needs NDG_DATA and is left out without it. Nothing is chosen on the test examples. Networks are trained once and
kept in `--networks`.

    python -m benchmarks.causal [--json FILE] [--quick] [--only NAME ...] [--networks DIR]
"""

from __future__ import annotations

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
from benchmarks.frame import Figure, parser, run
from benchmarks.trained import experiment, splits, trained
from ndg.causal import (
    AccuracySettings,
    ForcingSettings,
    SetSettings,
    effects,
    forced_effects,
    interchange_accuracy,
    smallest,
)
from ndg.causal.accuracy import FITTED
from ndg.causal.control_sets import prototype_sets
from ndg.causal.recombination import INDEPENDENT, recombine
from ndg.causal.sufficient import common_literals, sufficient_sets
from ndg.data import absent
from ndg.locations import Locations
from ndg.nodes import LABEL

NETWORKS = ("digits_mlp", "digits_cnn", "mnist_cnn")
SEEDS = 3
FIT, HELD = 10_000, 5_000
"""Examples of the training split from which hybrids are made, and of the test split on which pairs are judged."""

MEMBERS = 14
WORST = {"certified_size": max}
"""Figures of which the largest is the worst; of others it is the smallest."""


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser(__doc__)
    command.add_argument("--only", nargs="+", choices=NETWORKS, help="these networks alone")
    command.add_argument("--networks", type=Path, metavar="DIR", help="folder of the trained networks")
    options = command.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.networks or Path(temporary)
        names = options.only or (NETWORKS[:1] if options.quick else NETWORKS)
        seeds = 1 if options.quick else SEEDS
        parts: dict[str, Any] = {"planted": planted, "speed": partial(speed, options.quick)}
        parts["networks"] = partial(networks, names, seeds, folder, options.quick)
        return run(parts, options)


def networks(names: Sequence[str], seeds: int, folder: Path, quick: bool) -> Iterator[Figure]:
    """Figures of each network, means over trainings, and then of the worst network."""
    worst: dict[str, list[float]] = defaultdict(list)
    for name in names:
        missing = absent(Locations.choose().place(experiment(name, 0)).data)
        if missing:
            print(f"  {name} is left out: {missing}")
            continue
        found: dict[str, list[float]] = defaultdict(list)
        for seed in range(seeds):
            for key, value in one(name, seed, folder, quick):
                found[key].append(value)
        for key, values in found.items():
            worst[key].append(float(np.mean(values)))
            yield f"{name}_{key}", worst[key][-1], " ".join(f"{value:.3f}" for value in values)
    for key, each in worst.items():
        yield key, WORST.get(key, min)(each), f"the worst of {len(each)} networks"


def one(name: str, seed: int, folder: Path, quick: bool) -> Iterator[tuple[str, float]]:
    """Figures of one training."""
    model, parts = trained(name, seed, folder), splits(name)
    fit, held = (
        parts[split][torch.arange(min(len(parts[split]), most))] for split, most in (("train", FIT), ("test", HELD))
    )
    train, validation, test = fit.loader(), parts["validation"].loader(), held.loader()
    options, layer, behind = ndg.RunOptions(seed=seed), "latent", "decoder.fc1"
    bits = ndg.extract(model, train, [layer, behind])
    graph = ndg.mine(bits, "paper", alpha=2)
    yield "test_accuracy", _accuracy(model, test)
    settings = AccuracySettings(fit=2000 if quick else 20_000, pairs=500 if quick else 10_000)
    table = interchange_accuracy(model, train, validation, test, layer, like=bits, settings=settings, options=options)
    own, best = table[FITTED], table.best_control
    assert own.covered is not None
    assert best.lead is not None
    assert best.lead_interval is not None
    yield "iia", own.right[0] / own.right[1]
    yield "iia_lead", best.lead
    yield "iia_lead_low", best.lead_interval[0]
    yield "iia_neither", own.neither[0] / max(own.neither[1], 1)
    yield "iia_at_coverage_80", own.covered
    hybrids = recombine(model, train, layer, INDEPENDENT, 2000 if quick else 20_000, like=bits, options=options)
    factorial = effects(hybrids, layer, bits)
    some = ForcingSettings(examples=200 if quick else 1024)
    forced = forced_effects(model, graph, train, test, factorial, settings=some, options=options)
    right, votes, *_ = forced.sign_survival(table.votes)
    yield "vote_sign_survival", right / votes
    assert forced.correlation is not None
    yield "factorial_correlation", forced.correlation
    labels = range(2 if quick else graph.nodes.labels)
    targets = [f"{LABEL}:{label}" for label in labels]
    sets = SetSettings(at_most=MEMBERS, at_least=1.0, examples=100 if quick else 512)
    forced_sets = sufficient_sets(model, graph, train, test, factorial, targets, settings=sets, options=options)
    sizes = [MEMBERS] * graph.nodes.labels
    prototypes = prototype_sets(model, graph, bits, train, test, layer, sizes, options=options)
    aligned = float(np.mean([each.test[1] / each.test[0] for each in forced_sets.sets]))
    best_prototype = max(float(total.share[list(labels)].mean()) for total in prototypes.values())
    yield "set_aligned_14", aligned
    yield "set_lead_14", aligned - best_prototype
    hidden = common_literals(bits, behind)[: 6 if quick else None]
    found = sufficient_sets(model, graph, train, test, factorial, hidden, options=options)
    assert found.covered is not None
    yield "hidden_covered", found.covered
    orders = {label: table.votes.order(label) for label in labels}
    proofs = smallest(model, graph, train, layer, orders, options=options).certificates
    proved = [len(proof.members) for proof in proofs if proof.status == "proved"]
    yield "classes_certified", float(len(proved))
    yield "certified_size", float(np.mean(proved)) if proved else float(bits.nodes.slice(layer).stop)


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
    started = time.process_time()
    factorial = effects(recombine(model, loader, "1", INDEPENDENT, len(x), like=bits, options=options), "1")
    hybrids = time.process_time() - started
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


def _first(examples: Any, most: int) -> Any:
    """The first examples, at most so many."""
    return examples[torch.arange(min(len(examples), most))]


def _accuracy(model: torch.nn.Module, loader: Any) -> float:
    right = total = 0
    with torch.no_grad():
        for inputs, labels in loader:
            right += int((model(inputs).argmax(dim=1) == labels).sum())
            total += len(labels)
    return right / total


if __name__ == "__main__":
    raise SystemExit(main())
