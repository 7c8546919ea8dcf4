"""Smaller networks with the same predictions: agreement by size, FLOPs and latency, against rivals.

    python -m benchmarks.efficiency [--json FILE] [--quick] [--networks FOLDER] [--table] [--parts NAME ...]

Networks are trained once and kept in the folder. Calibration examples are of the training split; agreement and accuracy
are on the test split, which chooses nothing. `--quick` measures an untrained small network.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import norm, t
from torch import Tensor, nn

from benchmarks.efficiency_report import predictor, seconds
from benchmarks.frame import Figure, Figures, Part, parser, run
from benchmarks.timing import median_seconds
from benchmarks.trained import splits, trained
from ndg.activations.batches import columns
from ndg.compression.examples import Examples, agreement, explained, logits
from ndg.compression.methods import METHODS
from ndg.compression.smaller import CompressSettings, Shrinker
from ndg.config import CNN
from ndg.locations import Locations
from ndg.models import build
from ndg.options import RunOptions

DENSE = ("encoder.fc1", "decoder.fc1", "decoder.fc2")
CONVOLUTIONS = ("encoder.conv1", "encoder.conv2")
SHARES = (0.3, 0.5, 0.7, 0.9)
MUST = {0.3: 0.9995, 0.5: 0.998, 0.7: 0.994, 0.9: 0.970}
OPTIONS = RunOptions()


@dataclass(frozen=True, eq=False)
class Case:
    """A trained network, its calibration examples, and held-out examples with classes."""

    model: nn.Module
    train: Iterable[Any]
    test: list[Any]
    classes: Tensor


@dataclass(frozen=True)
class Sizes:
    """Which networks are measured."""

    folder: Path
    seeds: int = 3
    quick: bool = False


@cache
def case(name: str, seed: int, sizes: Sizes) -> Case:
    """A network of the benchmark, or a small untrained one."""
    if sizes.quick:
        torch.manual_seed(seed)
        model = build(CNN(channels=[4, 6], width=24, latent=8), (1, 12, 12), 10, seed)
        inputs, classes = torch.rand(256, 1, 12, 12), torch.randint(0, 10, (256,))
        return Case(model, [(inputs[:128], classes[:128])], [(inputs[128:], classes[128:])], classes[128:])
    data = splits(name)
    test = list(data.test.loader(500))
    classes = torch.cat([columns(batch)["labels"] for batch in test])
    return Case(trained(name, seed, sizes.folder), data.train.loader(500), test, classes)


@dataclass(frozen=True, eq=False)
class Measured:
    """Agreement, R^2 of the logits and accuracy of one smaller network; `hits` is 1 for each image that is right."""

    agreement: float
    r2: float
    accuracy: float
    hits: np.ndarray


class Measure:
    """Smaller networks of one case, and their figures on the test examples."""

    def __init__(self, one: Case, layers: tuple[str, ...] | None, seed: int = 0) -> None:
        self.case, self.options = one, replace(OPTIONS, seed=seed)
        settings = CompressSettings(layers=layers, calibration=1000, validation=1)
        self.shrinker = Shrinker.of(one.model, one.train, settings, self.options)
        if layers == DENSE:
            self.skip_convolutions()

    @cached_property
    def original(self) -> Tensor:
        """Logits of the whole network on the test examples."""
        return logits(self.shrinker.model, self.case.test, self.options)

    @property
    def accuracy(self) -> float:
        return float((self.original.argmax(1) == self.case.classes).double().mean())

    def skip_convolutions(self) -> None:
        """Replace images by the outputs of the convolutions, which stay as they are: they run once, not once a size."""
        whole = dict(self.case.model.named_children())
        parts = list(whole["encoder"].named_children())
        first = [name for name, _ in parts].index("flatten") + 1
        front = nn.Sequential(*(part for _, part in parts[:first])).eval()
        rest = nn.Sequential(OrderedDict(whole | {"encoder": nn.Sequential(OrderedDict(parts[first:]))})).eval()

        def features(batches: Iterable[Any]) -> list[dict[str, Tensor]]:
            with torch.no_grad():
                return [{"": front(columns(batch)[""])} for batch in batches]

        examples = self.shrinker.examples
        outputs = Examples(features(examples.calibration), features(examples.validation))
        self.shrinker = replace(self.shrinker, model=rest, examples=outputs)
        self.case = replace(self.case, model=rest, test=features(self.case.test))

    def network(self, share: Any, method: str = "obs", repaired: bool = True) -> tuple[nn.Module, dict[str, int]]:
        plan = METHODS[method]
        curves = plan.curves(self.shrinker.evidence)
        gone = self.shrinker.by_shares(plan.steps, curves, share)
        return self.shrinker.network(curves, gone, repaired), gone

    def figures(self, network: nn.Module) -> Measured:
        scores = logits(network, self.case.test, self.options)
        r2 = explained(self.original, scores)
        hits = (scores.argmax(1) == self.case.classes).double().numpy()
        return Measured(agreement(self.original, scores), 1.0 if r2 is None else r2, float(hits.mean()), hits)


@cache
def measure(sizes: Sizes, name: str, seed: int, layers: tuple[str, ...] | None) -> Measure:
    return Measure(case(name, seed, sizes), layers)


@cache
def measured(sizes: Sizes, seed: int, share: float, method: str, repaired: bool = True) -> Measured:
    """Figures of the MNIST network without a share of its 384 dense units."""
    subject = measure(sizes, "mnist_cnn", seed, DENSE)
    return subject.figures(subject.network(share, method, repaired)[0])


def dense(sizes: Sizes) -> Figures:
    """Agreement without shares of the dense units."""
    figures: Figures = {}
    for share in SHARES:
        found = [measured(sizes, seed, share, "obs") for seed in range(sizes.seeds)]
        values = [each.agreement for each in found]
        each = ", ".join(f"{value:.4f}" for value in values)
        r2 = np.mean([each.r2 for each in found])
        figures[f"agreement_{share * 100:.0f}"] = (
            float(np.mean(values)),
            f"must be {MUST[share]}; by seed {each}; R^2 of the logits {r2:.4f}",
        )
    return figures


@cache
def halved(sizes: Sizes, seed: int) -> tuple[nn.Module, dict[str, int]]:
    """The MNIST network without half of its channels and dense units, and how many units left each layer."""
    subject = measure(sizes, "mnist_cnn", seed, (*CONVOLUTIONS, *DENSE))
    return subject.network({**dict.fromkeys(CONVOLUTIONS, 0.5), DENSE: 0.5})


def convolutions(sizes: Sizes) -> Figures:
    """Half of the channels and half of the dense units."""
    values, flops = [], []
    for seed in range(sizes.seeds):
        subject = measure(sizes, "mnist_cnn", seed, (*CONVOLUTIONS, *DENSE))
        network, gone = halved(sizes, seed)
        values.append(subject.figures(network).agreement)
        flops.append(subject.shrinker.flops(gone) / subject.shrinker.flops(dict.fromkeys(gone, 0)))
    each = ", ".join(f"{value:.4f}" for value in values)
    return {
        "agreement_conv_50": (float(np.mean(values)), f"must be .996; by seed {each}"),
        "flops_ratio": (float(np.mean(flops)), "must be at most .30"),
    }


def latency(sizes: Sizes) -> Figures:
    """Time of a forward pass of these networks."""
    values = []
    for seed in range(sizes.seeds):
        one = case("mnist_cnn", seed, sizes)
        values.append(ratio(halved(sizes, seed)[0], one.model, columns(one.test[0])[""]))
    each = ", ".join(f"{value:.3f}" for value in values)
    how = f"must be at most .6; by seed {each}; one thread, the networks take turns"
    return {"latency_ratio": (float(np.mean(values)), how)}


def ratio(network: nn.Module, original: nn.Module, inputs: Tensor, rounds: int = 9) -> float:
    """Time of a forward pass over that of the original."""
    with torch.no_grad():
        calls = {"small": lambda: network.eval()(inputs), "large": lambda: original.eval()(inputs)}
        seconds = median_seconds(calls, rounds)
    return seconds["small"] / seconds["large"]


def against_chee(sizes: Sizes) -> Figures:
    """Accuracy difference to the sizes of Chee et al. 2022 with the same repair, in two pairings.

    `vs_chee_low` pairs test images, each with its mean over the trainings; `vs_chee_low_trainings` pairs trainings,
    of which three leave two degrees of freedom. Both are the lowest lower end over the sizes.
    """
    lowest, lowest_trainings, shown = np.inf, np.inf, []
    for share in SHARES:
        pairs = [
            [measured(sizes, seed, share, method).hits for method in ("obs", "interpolative")]
            for seed in range(sizes.seeds)
        ]
        trainings = np.array([100 * (ours - theirs) for ours, theirs in pairs])
        mean, reach = half_width(trainings.mean(axis=0), norm)
        _, wide = half_width(trainings.mean(axis=1), t(len(trainings) - 1))
        lowest, lowest_trainings = min(lowest, mean - reach), min(lowest_trainings, mean - wide)
        by_seed = ", ".join(f"{each:+.2f}" for each in trainings.mean(axis=1))
        shown.append(
            f"{share:.0%} {mean:+.3f} [{mean - reach:+.3f}, {mean + reach:+.3f}], over trainings "
            f"[{mean - wide:+.3f}, {mean + wide:+.3f}] ({by_seed})"
        )
    how = f"points, pairs of test images; must be at least -.1; {'; '.join(shown)}"
    trainings_alone = f"points, pairs of trainings (n = {sizes.seeds}); no requirement is stated for this pairing"
    return {
        "vs_chee_low": (float(lowest), how),
        "vs_chee_low_trainings": (float(lowest_trainings), trainings_alone),
    }


def half_width(values: np.ndarray, law: Any) -> tuple[float, float]:
    """Mean and half of the width of its 95 % interval."""
    return float(values.mean()), float(law.ppf(0.975) * values.std(ddof=1) / len(values) ** 0.5)


def residual(sizes: Sizes) -> Figures:
    """Accuracy lost without half of the inner channels of a ResNet-18 of width 16."""
    found = measure(sizes, "cifar10_resnet18", 0, None if sizes.quick else inner())
    network, gone = found.network(0.5)
    figures = found.figures(network)
    plain = found.figures(found.network(0.5, repaired=False)[0])
    flops = found.shrinker.flops(gone) / found.shrinker.flops(dict.fromkeys(gone, 0))
    return {
        "resnet_inner_50_points": (
            100 * (found.accuracy - figures.accuracy),
            f"points lost of {100 * found.accuracy:.2f}; must be at most 2; agreement {figures.agreement:.4f}, R^2 "
            f"{figures.r2:.4f}, FLOPs {flops:.3f}; without repair {100 * (found.accuracy - plain.accuracy):.2f} points",
        )
    }


def inner() -> tuple[str, ...]:
    """First convolutions of the residual blocks."""
    return tuple(f"stages.{stage}.{block}.conv1" for stage in range(4) for block in range(2))


def table(sizes: Sizes) -> Iterator[Figure]:
    """Every method at every size, with and without repair, and an untrained network as control."""
    for method in METHODS:
        for repaired in (True, False):
            for share in SHARES:
                values = [measured(sizes, seed, share, method, repaired) for seed in range(sizes.seeds)]
                by_seed = ", ".join(f"{each.agreement:.4f}" for each in values)
                yield (
                    f"{method}{'' if repaired else '_plain'}_{share * 100:.0f}",
                    float(np.mean([each.agreement for each in values])),
                    f"by seed {by_seed}; R^2 of the logits {np.mean([each.r2 for each in values]):.4f}",
                )
    for key, (value, description) in control(sizes).items():
        yield key, value, description


def control(sizes: Sizes) -> Figures:
    """The same compression of a network with fresh weights."""
    one = case("mnist_cnn", 0, sizes)
    fresh = one.model if sizes.quick else build(CNN(), (1, 28, 28), 10, 1)
    found = Measure(replace(one, model=fresh), DENSE)
    figures = {share: found.figures(found.network(share)[0]) for share in (0.5, 0.9)}
    classes = len(found.original.argmax(1).unique())
    return {
        f"untrained_{share * 100:.0f}": (
            each.agreement,
            f"control: it predicts {classes} of 10 classes; R^2 of the logits {each.r2:.4f}",
        )
        for share, each in figures.items()
    }


def parts(sizes: Sizes, rivals: bool) -> dict[str, Part]:
    """Parts of the benchmark by name."""
    chosen: dict[str, Part] = {
        "dense": partial(dense, sizes),
        "convolutions": partial(convolutions, sizes),
        "latency": partial(latency, sizes),
        "chee": partial(against_chee, sizes),
        "residual": partial(residual, sizes),
        "predictor": partial(predictor, None if sizes.quick else sizes.folder / "validation"),
        "report": partial(seconds, sizes.quick),
    }
    return chosen | ({"rivals": partial(table, sizes)} if rivals else {})


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__)
    options.add_argument("--networks", type=Path, metavar="FOLDER", help="where trained networks are kept")
    options.add_argument("--table", action="store_true", help="every method at every size, with and without repair")
    options.add_argument("--parts", nargs="+", metavar="NAME", help="these parts alone, such as dense or residual")
    chosen = options.parse_args(arguments)
    torch.set_num_threads(OPTIONS.threads)
    folder = chosen.networks or Locations.choose().runs / "benchmark-networks"
    sizes = Sizes(folder, seeds=2 if chosen.quick else 3, quick=chosen.quick)
    every = parts(sizes, chosen.table or chosen.quick or "rivals" in (chosen.parts or ()))
    unknown = [name for name in chosen.parts or () if name not in every]
    if unknown:
        options.error(f"--parts takes {', '.join(every)}; got {unknown[0]!r}")
    return run({name: part for name, part in every.items() if name in (chosen.parts or every)}, chosen)


if __name__ == "__main__":
    raise SystemExit(main())
