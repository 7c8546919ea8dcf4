"""Scores of units against their peers: captum's conductance, one JVP per unit, one pass per unit, few images.

    python -m benchmarks.importance [--json FILE] [--quick] [--networks FOLDER]

The figures of `benchmarks.cheap` follow, of the networks that are kept in the folder (else where runs are).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import LayerConductance
from torch import Tensor, nn

from benchmarks import cheap
from benchmarks.frame import Figure, Figures, Part, parser, run
from benchmarks.memory import peak_extra
from benchmarks.timing import median_seconds
from ndg import config, data, training
from ndg.activations.batches import Batch
from ndg.allocation import keep_blocks
from ndg.config import CNN, ResNet
from ndg.gradients.tape import Tape
from ndg.importance.methods.ablation import damage
from ndg.importance.score import score
from ndg.importance.settings import ScoreSettings
from ndg.interventions.baselines import Neutrals
from ndg.interventions.partial_forward import PartialForward
from ndg.models import build
from ndg.options import RunOptions

THREADS = 1
ONE = RunOptions(threads=THREADS)


@dataclass(frozen=True)
class Sizes:
    """Repetitions, examples and units of each part."""

    rounds: int = 5
    batch: int = 64
    steps: int = 50
    memory_steps: int = 200
    width: int = 64
    jvp_seconds: float = 60
    per_layer: int = 8
    ablation_examples: int = 32
    trained: tuple[str, ...] = ("mlp", "cnn", "resnet", "vit")
    epochs: int = 20
    trained_examples: int = 32


QUICK = Sizes(
    rounds=1,
    batch=2,
    steps=4,
    memory_steps=20,
    width=8,
    jvp_seconds=0.5,
    per_layer=1,
    ablation_examples=2,
    trained=("mlp",),
    epochs=1,
    trained_examples=4,
)


def network(settings: Any, shape: tuple[int, ...]) -> nn.Module:
    """A network with random weights, whose norms look trained: statistics of noise, uneven scales."""
    model = build(settings, shape, 10, 0).eval()
    made = torch.Generator().manual_seed(0)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.data = torch.rand(norm.weight.shape, generator=made) + 0.5
        norm.bias.data = torch.randn(norm.bias.shape, generator=made) / 5
        norm.train()
        norm.momentum = None
    if norms:
        with torch.no_grad():
            model(noise(64, shape))
        model.eval()
    return model


def noise(examples: int, shape: tuple[int, ...]) -> Tensor:
    return torch.rand(examples, *shape, generator=torch.Generator().manual_seed(1))


def conductance_of_five_layers(sizes: Sizes) -> Figures:
    """All 5 hidden layers of the MNIST CNN of Hu & Tian 2022: captum against as few steps as are nowhere worse, and
    against the same number of steps."""
    model, inputs = network(CNN(), (1, 28, 28)), noise(sizes.batch, (1, 28, 28))
    most = sizes.steps
    layers = [name for name, module in model.named_modules() if isinstance(module, (nn.ReLU, nn.Sigmoid))][:5]
    with torch.no_grad():
        logits, start = model(inputs), model(torch.zeros_like(inputs))
    target = logits.argmax(1)
    change = (logits - start).gather(1, target[:, None])[:, 0].double()

    def ours(steps: int = most) -> Any:
        return score(model, [inputs], layers, "conductance", settings=ScoreSettings(n_steps=steps), options=ONE)

    def captum() -> dict[str, Tensor]:
        found = {}
        for layer in layers:
            made = LayerConductance(model, model.get_submodule(layer)).attribute(inputs, target=target, n_steps=most)
            found[layer] = made.detach().flatten(2).sum(2).double() if made.ndim > 2 else made.detach().double()
        return found

    fine, theirs = ours(20 * most), captum()
    means = {layer: theirs[layer].mean(0).numpy() for layer in layers}
    sums = {layer: float((theirs[layer].sum(1) - change).abs().sum() / change.abs().sum()) for layer in layers}

    def apart(one: Any) -> dict[str, float]:
        """Of each layer, the largest difference of a unit's mean from that of many steps."""
        return {layer: float(np.abs(one[layer] - fine[layer]).max()) for layer in layers}

    off = apart(means)

    def no_worse(one: Any) -> bool:
        own = {row["layer"]: row["relative"] for row in one.facts["completeness"]}
        return all(own[layer] <= sums[layer] and apart(one)[layer] <= off[layer] for layer in layers)

    few = most
    while few > 1 and no_worse(ours(few - 1)):
        few -= 1
    equal, less = ours(), ours(few)
    between = max(float(np.abs(equal[layer] - means[layer]).max()) for layer in layers)
    seconds = median_seconds({"equal": ours, "few": lambda: ours(few), "captum": captum}, sizes.rounds)
    what = f"{len(layers)} hidden layers of the MNIST CNN, batch {sizes.batch}, one thread, captum with {most} steps"
    return {
        "conductance_speedup_vs_captum": (
            seconds["captum"] / seconds["few"],
            f"times as fast, {what}, ours with {few}: no layer's sum, no layer's worst unit is further off",
        ),
        "conductance_speedup_same_steps": (seconds["captum"] / seconds["equal"], f"the same, ours with {most} steps"),
        "max_abs_diff": (between, f"of unit means at {most} steps; largest score {_largest(fine, layers):.3g}"),
        "max_abs_error_captum": (max(off.values()), f"captum's quadrature error of unit means, by {20 * most} steps"),
        "max_abs_error_same_steps": (max(apart(equal).values()), f"the same of ours at {most} steps"),
        "max_abs_error_ours": (max(apart(less).values()), f"the same of ours at {few} steps"),
        "completeness_captum": (max(sums.values()), "sum of |error| over sum of |F(x) - F(x')|, worst layer"),
        "completeness_same_steps": (_incomplete(equal), f"the same of ours at {most} steps"),
        "completeness_ours": (_incomplete(less), f"the same of ours at {few} steps"),
    }


def _largest(scores: Any, layers: list[str]) -> float:
    return max(float(np.abs(scores[layer]).max()) for layer in layers)


def _incomplete(scores: Any) -> float:
    return max(float(row["relative"]) for row in scores.facts["completeness"])


def conductance_memory(sizes: Sizes) -> Figures:
    """One layer of 32 channels of 32 x 32 pixels, batch 16; captum without internal batches."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 10)
    )
    inputs = noise(16, (3, 32, 32))
    target = model(inputs).argmax(1)

    def ours() -> Any:
        settings = ScoreSettings(n_steps=sizes.memory_steps)
        return score(model, [inputs], "1", "conductance", settings=settings, options=replace(ONE, batch=16))

    def captum() -> Any:
        return LayerConductance(model, model[1]).attribute(inputs, target=target, n_steps=sizes.memory_steps)

    ours()
    mine, theirs = (peak_extra(call) / 2**20 for call in (ours, captum))
    seconds = median_seconds({"ours": ours, "captum": captum}, sizes.rounds)
    return {
        "conductance_peak_mb_vs_captum": (mine / theirs, f"{mine:.0f} against {theirs:.0f} MB above what was held"),
        "conductance_seconds_vs_captum": (seconds["ours"] / seconds["captum"], "of captum's time, in the same call"),
    }


def convolutions(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]


def gndi_against_jvps(sizes: Sizes) -> Figures:
    """G-NDI of every channel of a ResNet-18 against one Jacobian-vector product per unit, by double backward passes
    through one graph that is kept, as few passes as that can have."""
    model, inputs = network(ResNet(width=sizes.width), (3, 32, 32)), noise(8, (3, 32, 32))
    layers = convolutions(model)

    def ours() -> Any:
        return score(model, [inputs], layers, "gndi", options=replace(ONE, batch=8))

    mine, spent = ours(), median_seconds({"gndi": ours}, 3)["gndi"]
    units = sum(len(mine[layer]) for layer in layers)
    drawn = [(layer, unit) for layer in layers for unit in range(len(mine[layer]))]
    np.random.default_rng(0).shuffle(drawn)
    done, worst, began = 0, 0.0, time.perf_counter()
    with Tape(model, layers) as tape:
        logits = tape.run(inputs)
        weights = torch.zeros_like(logits, requires_grad=True)
        rows = tape.gradients((logits * weights).sum(1), last=False, create_graph=True)
        for layer, unit in drawn:
            change = tape[layer][:, int(unit)]
            product = torch.autograd.grad((rows[layer][:, int(unit)] * change).sum(), weights, retain_graph=True)[0]
            value = float(torch.linalg.vector_norm(product, dim=1).mean())
            worst = max(worst, abs(value - mine[layer][int(unit)]) / max(abs(value), 1e-6))
            done += 1
            if time.perf_counter() - began > sizes.jvp_seconds:
                break
    alone = (time.perf_counter() - began) / done
    return {
        "gndi_all_units_vs_jvp_per_unit": (
            alone * units / spent,
            f"times as fast, {units:,} channels of ResNet-18, 8 images; from {done} JVPs, {worst:.0e} apart at most",
        ),
        "gndi_seconds": (spent, "s for all channels"),
    }


def ablation_against_passes(sizes: Sizes) -> Figures:
    """Exact ablation of every channel of a ResNet-18 against a loop over units with whole passes, from some units of
    every layer, drawn by chance."""
    model, inputs = network(ResNet(width=sizes.width), (3, 32, 32)), noise(sizes.ablation_examples, (3, 32, 32))
    layers, rng, per_layer = convolutions(model), np.random.default_rng(0), sizes.per_layer
    before = model(inputs).detach().double()
    ours = theirs = worst = 0.0
    units = 0
    for layer in layers:
        module = model.get_submodule(layer)
        width = int(module.weight.shape[0])
        some = sorted(rng.choice(width, per_layer, replace=False).tolist())
        with torch.no_grad():
            began = time.perf_counter()
            with PartialForward(model, layer, Batch(0, len(inputs), inputs, None), Neutrals("zero")) as cut:
                damage(cut, some[:1], "logits", None, None)
                begun = time.perf_counter() - began  # once for all units of the layer: what is before, and untouched
                found = damage(cut, some, "logits", None, None)[0]
            seconds = time.perf_counter() - began - begun
            began = time.perf_counter()
            for place, unit in enumerate(some):
                handle = module.register_forward_hook(_silence(unit))
                lost = torch.linalg.vector_norm(before - model(inputs).double(), dim=1)
                handle.remove()
                worst = max(worst, float((lost - found[place]).abs().max() / before.norm(dim=1).mean()))
            whole = time.perf_counter() - began
        ours += begun + seconds * width / per_layer
        theirs += whole * width / per_layer
        units += width
    what = f"times as fast, {units:,} channels of ResNet-18, {len(inputs)} images, from {per_layer} of each layer"
    return {
        "ablation_speedup": (theirs / ours, what),
        "ablation_apart": (worst, "largest difference of a damage, relative to the mean norm of the logits"),
    }


def _silence(unit: int) -> Callable[..., Tensor]:
    def write(module: nn.Module, arguments: Any, output: Tensor) -> Tensor:
        output = output.clone()
        output[:, unit] = 0
        return output

    return write


TRAININGS = {
    "mlp": ["digits_mlp"],
    "cnn": ["digits_cnn"],
    "resnet": ["cifar10_resnet18", "data.name=digits", "model.width=16", "train.flip=false", "train.pad=0"],
    "vit": ["digits_vit"],
}
"""Networks on the digits that scikit-learn bundles: the shipped configs, and a ResNet-18 of width 16."""


def completeness(sizes: Sizes) -> Iterator[Figure]:
    """At default settings, of trained networks, over the layers that every path crosses: after each residual sum, and
    all of plain networks."""
    worst = 0.0
    for name in sizes.trained:
        config_name, *changes = TRAININGS[name]
        changes = [*changes, f"train.epochs={sizes.epochs}", "train.threads=1"]
        experiment = config.load(config.find(config_name), changes)
        splits = data.load(experiment.data)
        with tempfile.TemporaryDirectory() as folder:
            training.train(experiment, splits, Path(folder) / "run")
            model, _ = training.load_model(Path(folder) / "run")
        layers = [path for path, module in model.named_modules() if _ends(module)]
        inputs = next(iter(splits.validation.loader(sizes.trained_examples)))[0]
        scores = score(model, [inputs], layers, "conductance", options=ONE)
        rows, facts = [row for row in scores.facts["completeness"] if row["cross"]], scores.facts
        error = max(row["relative"] for row in rows)
        worst = max(worst, error)
        mean = facts["gradients"] / scores.examples
        what = f"{len(rows)} layers, {scores.examples} examples, {facts['steps']} steps at most, {mean:.0f} on average"
        yield f"completeness_{name}", error, f"{what}, {facts['unfinished']} unfinished"
    yield "completeness_max_relative_error", worst, "sum of |error| over sum of |F(x) - F(x')|, worst layer"


def _ends(module: nn.Module) -> bool:
    """Whether a module may lie on all paths and gives units: blocks, activations, dense layers."""
    kinds = (nn.ReLU, nn.Sigmoid, nn.GELU, nn.Linear, nn.Conv2d, nn.LayerNorm)
    return isinstance(module, kinds) or type(module).__name__ in ("Block", "ViTLayer")


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__)
    options.add_argument("--networks", type=Path, metavar="FOLDER", help="where trained networks are kept")
    chosen = options.parse_args(arguments)
    torch.set_num_threads(THREADS)
    keep_blocks()
    sizes = QUICK if chosen.quick else Sizes()
    parts: dict[str, Part] = {
        "conductance of five layers": partial(conductance_of_five_layers, sizes),
        "conductance memory": partial(conductance_memory, sizes),
        "G-NDI against JVPs": partial(gndi_against_jvps, sizes),
        "ablation against passes": partial(ablation_against_passes, sizes),
        "completeness": partial(completeness, sizes),
        "cheap": cheap.untrained if chosen.quick else partial(cheap.figures, chosen.networks),
    }
    return run(parts, chosen)


if __name__ == "__main__":
    raise SystemExit(main())
