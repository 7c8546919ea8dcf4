"""The laws of a method of importance, on a small network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from ndg.errors import ConfigError, DataError, LayerError, ShapeError
from ndg.importance.method import LAWS, Method
from ndg.importance.score import IMPORTANCE, score
from ndg.importance.scores import Scores
from ndg.nodes import LayerUnits, NodeSpace
from ndg.testing.checks import equal, named, refused, rule, run
from ndg.testing.network import CLASSES, EXAMPLES, Network, examples, labels, loader
from ndg.testing.scored import UNITS, Subject, by_parameter, close, same, scored


def check_method(method: Method, name: str = "subject", **traits: Any) -> None:
    """Raise ConformanceError for a method that breaks a law.

    `traits` are those of `Subject`: maps, still, sampled, shared, options.
    """
    with mock.patch.dict(IMPORTANCE, {name: method}):
        run(METHOD_CHECKS, Subject(name, **traits))


def one_score_per_unit(subject: Subject) -> None:
    """One finite float64 per unit of each layer, with the facts of the method."""
    scores = scored(subject)
    equal(scores.layers, tuple(subject.units), "layers keep their order")
    for layer, count in subject.units.items():
        equal(scores[layer].shape, (count,), f"one score for each unit of {layer}")
        equal(scores[layer].dtype, np.dtype(np.float64), "scores are float64")
        rule(np.isfinite(scores[layer]).all() and np.isfinite(scores.whole[layer]), "scores are finite")
        rule(np.count_nonzero(scores[layer]), f"some unit of {layer} matters")
    equal((scores.method, scores.measure), (subject.name, subject.method.measure), "scores name method and measure")
    equal(scores.examples, 0 if subject.still else EXAMPLES, "scores count their examples")
    passes = [scores.facts.get(name, 0) for name in ("forward_passes", "backward_passes")]
    rule(min(passes) >= 0, f"passes are counted; got {passes}")
    equal(scores.frame().shape, (sum(subject.units.values()), 6 if scores.errors else 5), "the frame has all units")


def described(subject: Subject) -> None:
    """A method has a title and a source, and promises known laws."""
    rule(subject.method.title and subject.method.source, "a method has a title and a source")
    rule(subject.method.laws <= set(LAWS), f"laws are among {', '.join(LAWS)}; got {subject.method.laws}")


def loader_batches(subject: Subject) -> None:
    """The batches of the loader change no bit: `compute_batches` sees to that."""
    baseline = subject.method.baselines[-1]
    model = Network()
    whole, parts = (scored(subject, model, loader(examples(), size), baselines=baseline) for size in (256, 3))
    same(parts, whole, "the batches of the loader change nothing: read them by ndg.activations.batches.compute_batches")


def compute_batch(subject: Subject) -> None:
    """The compute batch changes no more than rounding."""
    small, large = (scored(subject, batch=size) for size in (4, 32))
    for layer in subject.units:
        close(small[layer], large[layer], "the compute batch changes no more than rounding")


def additive(subject: Subject) -> None:
    """Promised additive scores are the weighted mean over parts of the examples."""
    if subject.keeps("additive"):
        inputs, model = examples(), Network()
        first, second, both = (scored(subject, model, loader(part)) for part in (inputs[:8], inputs[8:], inputs))
        for layer in subject.units:
            mean = (8 * first[layer] + 3 * second[layer]) / EXAMPLES
            close(both[layer], mean, f"law additive: {LAWS['additive']}", 1e-6, 1e-8)


def repeatable(subject: Subject) -> None:
    """The state of the random generators changes no score."""
    model = Network()
    for baseline in subject.method.baselines:
        calls = []
        for seed in (0, 1):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                calls.append(scored(subject, model, baselines=baseline))
        same(calls[0], calls[1], f"the same call gives the same scores (baselines={baseline!r}): draw by settings.seed")


def permutation(subject: Subject) -> None:
    """Permuting units permutes scores."""
    if not subject.sampled:
        layer, model = subject.last, Network()
        plain = scored(subject, model, layers=layer)[layer]
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(subject.units[layer]).tolist()
            permuted = scored(subject, model.permuted(layer, order).requires_grad_(False), layers=layer)[layer]
            close(permuted, plain[order], "permuting units permutes scores")


def baseline_unit(subject: Subject) -> None:
    """A unit that always equals its baseline scores 0, if promised."""
    if subject.keeps("baseline"):
        for unit in (0, 3, 5):
            alone(subject, Network(constant=unit, silent=True), unit, "baseline")
            if "mean" in subject.method.baselines:
                alone(subject, Network(constant=unit), unit, "baseline", baselines="mean")


def unread_unit(subject: Subject) -> None:
    """A unit that nothing reads scores 0, if promised."""
    if subject.keeps("unread"):
        model = Network()
        model.out.weight.data[:, 2] = 0
        alone(subject, model, 2, "unread")


def weightless_unit(subject: Subject) -> None:
    """A unit without incoming weights scores 0, if promised."""
    if subject.keeps("weightless"):
        alone(subject, Network(constant=2), 2, "weightless")


def alone(subject: Subject, model: nn.Module, unit: int, law: str, **how: Any) -> None:
    """One unit of the last layer scores 0 and others do not."""
    scores = scored(subject, model, layers=subject.last, **how)[subject.last]
    rule(scores[unit] == 0, f"law {law}: {LAWS[law]}; unit {unit} scores {scores[unit]}")
    rule(np.count_nonzero(scores) > 1, "other units do not score 0")


def neutral_states(subject: Subject) -> None:
    """A neutral state is a name, a number or tensors, if promised."""
    if subject.keeps("neutral"):
        model, layer, half = Network(), "latent", torch.full((6,), 0.5)

        def by(baselines: Any) -> np.ndarray:
            return scored(subject, model, layers=layer, baselines=baselines)[layer]

        zero, number = by("zero"), by(0.5)
        for other in (0.0, torch.zeros(6), {"latent": torch.zeros(6)}):
            rule((by(other) == zero).all(), "zero as a name, a number or tensors gives the same scores")
        rule(not np.allclose(number, zero), "another neutral state gives other scores")
        rule((by(half) == number).all(), "a number stands for a tensor of it")
        with refused(ShapeError, r"'latent' has 6 units with 1 positions each, the baseline has shape \(5,\)"):
            by(torch.zeros(5))
        with refused(ConfigError, r"baselines are of scored layers; got 'latnt'; nearest: latent"):
            by({"latnt": torch.zeros(6)})
    if subject.method.baselines == ("zero",):
        for baseline in (0.5, torch.zeros(6)):
            with refused(ConfigError, rf"{subject.name} does not use baselines; got baselines="):
                scored(subject, baselines=baseline)


def layers_apart(subject: Subject) -> None:
    """Layers scored together score as they do alone."""
    if not subject.shared:
        together = scored(subject)
        for layer in subject.units:
            same_layer = (scored(subject, layers=layer)[layer] == together[layer]).all()
            rule(same_layer, f"{layer} scores alone as it does beside other layers")


def latent_layer(subject: Subject) -> None:
    """Without layers, the network's own layer is scored or refused."""
    with nullcontext() if subject.units == UNITS else refused(LayerError, r"'latent'"):
        scores = score(Network(), loader(examples()), method=subject.name, **by_parameter(subject.quick))
        equal(scores.layers, ("latent",), "without layers the network's `latent_layer` is scored")


def weights(subject: Subject) -> None:
    """A method of weights refuses layers without weights."""
    if subject.method.weights:
        name = subject.name
        pattern = rf"{name} needs layers with weights .* 'latent' \(Hardtanh\) has none; name .* 'before'"
        with refused(LayerError, pattern):
            scored(subject, layers=["conv", "latent"])
        with refused(ConfigError, rf"{name} scores weights, which positions share; got each_position=True"):
            scored(subject, each_position=True)


def true_classes(subject: Subject) -> None:
    """A method of true classes needs and checks them."""
    if subject.method.labels:
        with refused(DataError, rf"{subject.name} needs the true classes; the loader gives inputs alone"):
            scored(subject, data=[examples()])
        with refused(DataError, r"true labels are one class from 0 to 3 per example"):
            scored(subject, data=[(examples(), torch.full((EXAMPLES,), CLASSES))])


def target(subject: Subject) -> None:
    """Each target class has scores of its own, or is refused."""
    if subject.method.target:
        layer = subject.last
        by_class = [scored(subject, layers=layer, target=target) for target in range(CLASSES)]
        equal([scores.target for scores in by_class], list(range(CLASSES)), "scores name their target")
        equal(len({scores[layer].tobytes() for scores in by_class}), CLASSES, "each class has scores of its own")
        with refused(ConfigError, r"target must be a class of the network, 0 to 3; got 4"):
            scored(subject, layers=layer, target=CLASSES)
    else:
        with refused(ConfigError, rf"{subject.name} does not use a target class; got target=1"):
            scored(subject, target=1)


def network_untouched(subject: Subject) -> None:
    """Weights, gradients, modes, hooks and parameter storage stay as they were."""
    for training in (True, False):
        model = Network().train(training)
        model.norm.train(not training)
        model.out.bias.grad = torch.ones(CLASSES)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        places = {name: (id(value), value.data_ptr()) for name, value in model.named_parameters()}
        scored(subject, model)
        after = model.state_dict()
        rule(model.training == training and model.norm.training != training, "every module keeps its mode")
        equal(list(after), list(before), "the network keeps its parameters and buffers")
        kept = [torch.equal(value, before[name]) and value.dtype == before[name].dtype for name, value in after.items()]
        rule(all(kept), "the network keeps its weights and buffers")
        now = {name: (id(value), value.data_ptr()) for name, value in model.named_parameters()}
        equal(now, places, "parameters stay the same objects in the same memory")
        gradients = torch.equal(model.out.bias.grad, torch.ones(CLASSES)) and model.conv.weight.grad is None
        rule(gradients, "gradients that are there stay, and no other comes")
        rule(all(parameter.requires_grad for parameter in model.parameters()), "parameters keep requires_grad")
        unhooked(model)


def unhooked(model: nn.Module) -> None:
    rule(not any(module._forward_hooks for module in model.modules()), "no hook is left on the network")
    rule(not any("forward" in vars(module) for module in model.modules()), "no module keeps another forward")


class Failing:
    """A loader whose second batch cannot be read."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield examples(8), labels(examples(8))
        raise RuntimeError("the disk is gone")


def errors(subject: Subject) -> None:
    """After an error no hook is left and the modes are back."""
    if not subject.still:
        model = Network().train()
        places = {name: id(value) for name, value in model.named_parameters()}
        with refused(RuntimeError, "the disk is gone"):
            scored(subject, model, Failing())
        rule(model.training, "after an error the network has its mode back")
        equal({name: id(value) for name, value in model.named_parameters()}, places, "parameters stay after an error")
        unhooked(model)
        rule(torch.is_grad_enabled(), "after an error gradients are enabled as before")


def without_gradients(subject: Subject) -> None:
    """Frozen networks and callers without gradients get equal scores."""
    expected, model, data = scored(subject), Network(), loader(examples())
    same(scored(subject, Network().requires_grad_(False)), expected, "a frozen network has the same scores")
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            same(scored(subject, model, data), expected, f"a caller under {mode.__name__} gets the same scores")


def recorded(subject: Subject) -> None:
    """Scores are plain JSON, and know the nodes of a graph."""
    layer = subject.last
    scores, count = scored(subject, layers=layer), subject.units[layer]
    document = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    same(Scores.from_dict(document), scores, "scores are plain JSON and come back from it")
    by_node = scores.by_node(NodeSpace(CLASSES, (LayerUnits(layer, count),)))
    expected = dict(zip(range(CLASSES, CLASSES + count), scores[layer].tolist(), strict=True))
    equal(by_node, expected, "scores know their nodes")
    page = scores._repr_html_()
    rule(subject.name in page and f"{layer}:{count - 1}" in page, "the notebook's table has the method and its units")


BAD_LAYERS: tuple[tuple[Any, str], ...] = (
    ("latnet", r"no layer 'latnet' in Network; nearest: latent"),
    (["latent", "latent"], r"at least one layer is scored, and each once; got \['latent', 'latent'\]"),
    ([], r"at least one layer is scored, and each once; got \[\]"),
    (["latent", ""], r"no layer '' in Network"),
)


def bad_layers(subject: Subject) -> None:
    """Layers that cannot be scored are refused."""
    for layers, pattern in BAD_LAYERS:
        with refused(LayerError, pattern):
            scored(subject, layers=layers)


BAD_NUMBERS = {
    "n_steps": "n_steps must be a whole number of at least 1; got 0",
    "batch": "a compute batch has at least 1 example; got batch=0",
    "threads": "a forward pass runs on at least 1 thread; got threads=0",
}


def bad_settings(subject: Subject) -> None:
    """Unknown methods, baselines, options and numbers below 1 are refused."""
    name = subject.name
    with refused(ConfigError, rf"known method of importance; got '{name}x'; nearest: {name}"):
        score(Network(), loader(examples()), "latent", name + "x")
    with refused(ConfigError, rf"a baseline of {name} is a known neutral state, .*; got 'men'"):
        scored(subject, baselines="men")
    with refused(ConfigError, rf"an option of {name} is one of its own; got 'colour'"):
        scored(subject, colour="red")
    for number, pattern in BAD_NUMBERS.items():
        with refused(ConfigError, pattern):
            scored(subject, None, None, None, **{number: 0})


def bad_examples(subject: Subject) -> None:
    """No example is refused; NaN is named by unit, layer and example."""
    if subject.still:
        other = [(torch.full((3, 1, 4, 4), float("nan")), torch.zeros(3, dtype=torch.int64))]
        same(scored(subject, data=other), scored(subject), "values of inputs mean nothing to this method")
        return
    for baseline in subject.method.baselines:
        with refused(DataError, r"at least one example is needed; the loader gave none; check the split"):
            scored(subject, data=[], baselines=baseline)
    broken = examples()
    broken[9, 0, 1, 1] = float("nan")
    with refused(LayerError, r"unit 0 of '\w+' is NaN at example 9"):
        scored(subject, data=loader(broken), layers=list(subject.units)[:2][-1])


METHOD_CHECKS = named(
    *(one_score_per_unit, described, loader_batches, compute_batch, additive, repeatable, permutation, baseline_unit),
    *(unread_unit, weightless_unit, neutral_states, layers_apart, latent_layer, weights, true_classes, target),
    *(network_untouched, errors, without_gradients, recorded, bad_layers, bad_settings, bad_examples),
)
