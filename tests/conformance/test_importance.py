"""What every method of importance keeps. A new one in `IMPORTANCE` is tested here without a line: by its `laws`, and by
whether it needs weights or labels, takes a class, and knows a baseline."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ndg.errors import ConfigError, DataError, LayerError, ShapeError
from ndg.importance.method import LAWS
from ndg.importance.score import IMPORTANCE, score
from ndg.importance.scores import Scores
from ndg.nodes import LayerUnits, NodeSpace

UNITS = {"conv": 3, "hidden": 5, "latent": 6}
WEIGHTED = {"conv": 3, "hidden": 5, "before": 6}
MAPS = ("hrank",)
"""Methods that score maps of rows and columns alone."""
STILL = ("synflow", "magnitude")
"""Methods to which the values of the inputs mean nothing."""
SAMPLED = ("shapley", "fast_ablation")
"""Methods whose draws go by the number of a unit."""
SHARED = ("fast_ablation",)
"""Methods whose layers share a budget."""
BATCH = {"internal_batch_size": 8}
SMALL = {"permutations": 4, "budget": 0.2}
"""Options that make a method quick, where it has them."""

PAIRS = [(method, law) for method, found in IMPORTANCE.items() for law in found.laws]


def keeping(law: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("method", [method for method, kept in PAIRS if kept == law])


def having(what: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("method", [method for method, found in IMPORTANCE.items() if getattr(found, what)])


every = pytest.mark.parametrize("method", IMPORTANCE)
neutral_states = pytest.mark.parametrize(
    ("method", "baseline"), [(method, name) for method, found in IMPORTANCE.items() for name in found.baselines]
)
learning = pytest.mark.parametrize("method", [method for method in IMPORTANCE if method not in STILL])


def units(method: str) -> dict[str, int]:
    """The layers that a method is asked about, by their numbers of units."""
    return {"conv": 3} if method in MAPS else WEIGHTED if IMPORTANCE[method].weights else UNITS


def last(method: str) -> str:
    return list(units(method))[-1]


class Network(nn.Module):
    """A convolution, dense layers, dropout; unit `constant` of the latent layer is always 0.75, or 0 if `silent`."""

    latent_layer = "latent"

    def __init__(self, seed: int = 0, constant: int | None = None, silent: bool = False) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.relu, self.hidden = nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Linear(12, 5)
        self.tanh = nn.Tanh()
        self.dropout, self.before, self.latent = nn.Dropout(0.5), nn.Linear(5, 6), nn.Hardtanh(-1.0, 1.0)
        self.norm, self.out = nn.BatchNorm1d(6), nn.Linear(6, 4)
        self.norm.running_mean, self.norm.running_var = torch.randn(6), torch.rand(6) + 0.5
        self.conv.bias.data += 0.2  # no channel is silent
        if constant is not None:
            self.before.weight.data[constant] = 0
            self.before.bias.data[constant] = 0.0 if silent else 0.75

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.tanh(self.hidden(self.relu(self.conv(x)).flatten(1)))
        return self.out(self.norm(self.latent(self.before(self.dropout(hidden)))))

    def permuted(self, layer: str, order: list[int]) -> "Network":
        """The same network with the units of a layer in another order."""
        other, order = Network(), torch.tensor(order)
        other.load_state_dict(self.state_dict())
        if layer == "conv":
            other.conv.weight.data, other.conv.bias.data = self.conv.weight[order], self.conv.bias[order]
            other.hidden.weight.data = self.hidden.weight.unflatten(1, (3, 4))[:, order].flatten(1)
            return other
        other.before.weight.data, other.before.bias.data = self.before.weight[order], self.before.bias[order]
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(other.norm, name).data = getattr(self.norm, name)[order].data
        other.out.weight.data = self.out.weight[:, order]
        return other


def examples(n: int = 11, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def labels(inputs: torch.Tensor) -> torch.Tensor:
    """A true class that belongs to the example."""
    return (inputs.flatten(1).double().nan_to_num().sum(dim=1) * 1000).long() % 4


def loader(inputs: torch.Tensor, size: int = 256) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(part, labels(part)) for part in inputs.split(size)]


def scored(method: str, model: nn.Module | None = None, data=None, layers=None, **more) -> Scores:
    """Scores by a method with settings that keep it quick."""
    own = {name: value for name, value in SMALL.items() if name in IMPORTANCE[method].options}
    model = Network() if model is None else model
    data = loader(examples()) if data is None else data
    how = _steps(method) | BATCH | own | more
    return score(model, data, units(method) if layers is None else layers, method, **how)


def _steps(method: str) -> dict[str, int]:
    return {"n_steps": 2} if IMPORTANCE[method].steps else {}


def same(a: Scores, b: Scores) -> bool:
    return a.to_dict() == b.to_dict()


@every
def test_one_finite_float_per_unit_of_each_layer(method):
    scores = scored(method)
    assert scores.layers == tuple(units(method))
    for layer, count in units(method).items():
        assert scores[layer].shape == (count,)
        assert scores[layer].dtype == np.float64
        assert np.isfinite(scores[layer]).all()
        assert np.count_nonzero(scores[layer])
        assert np.isfinite(scores.whole[layer])
    assert (scores.method, scores.measure) == (method, IMPORTANCE[method].measure)
    assert scores.examples == (0 if method in STILL else 11)
    assert all(scores.facts.get(passes, 0) >= 0 for passes in ("forward_passes", "backward_passes"))
    assert scores.frame().shape == (sum(units(method).values()), 6 if scores.errors else 5)


@every
def test_a_method_says_what_it_is_and_promises_known_laws(method):
    found = IMPORTANCE[method]
    assert found.title
    assert found.source
    assert found.laws <= set(LAWS)


@every
@settings(max_examples=3, deadline=None)
@given(cuts=st.lists(st.integers(1, 10), max_size=4, unique=True).map(sorted))
def test_any_cut_into_batches_gives_the_same_bits(method, cuts):
    inputs, model = examples(), Network()
    parts = [(part, labels(part)) for part in torch.tensor_split(inputs, cuts) if len(part)]
    assert same(scored(method, model, parts), scored(method, model, loader(inputs)))


@neutral_states
@pytest.mark.parametrize("size", [1, 7, 11])
def test_the_batch_size_of_the_loader_does_not_change_a_bit(method, baseline, size):
    model = Network()
    one = scored(method, model, loader(examples(), size), baselines=baseline)
    assert same(one, scored(method, model, loader(examples(), 3), baselines=baseline))


@every
def test_the_compute_batch_changes_no_more_than_rounding(method):
    small, large = (scored(method, internal_batch_size=size) for size in (4, 32))
    for layer in units(method):
        np.testing.assert_allclose(small[layer], large[layer], rtol=1e-4, atol=1e-6)


@keeping("additive")
def test_scores_of_two_sets_of_examples_are_weighted_means_of_their_parts(method):
    inputs, model = examples(), Network()
    first, second, both = (scored(method, model, loader(part)) for part in (inputs[:8], inputs[8:], inputs))
    for layer in units(method):
        np.testing.assert_allclose(both[layer], (8 * first[layer] + 3 * second[layer]) / 11, rtol=1e-6, atol=1e-8)


@neutral_states
def test_the_same_call_gives_the_same_scores_whatever_the_random_state(method, baseline):
    model, calls = Network(), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        calls.append(scored(method, model, baselines=baseline))
    assert same(*calls)


@pytest.mark.parametrize("method", [method for method in IMPORTANCE if method not in SAMPLED])
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 100))
def test_permuting_units_permutes_scores(method, seed):
    layer, model = last(method), Network()
    order = np.random.default_rng(seed).permutation(units(method)[layer]).tolist()
    expected = scored(method, model, layers=layer)[layer][order]
    found = scored(method, model.permuted(layer, order).requires_grad_(False), layers=layer)[layer]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@keeping("baseline")
@pytest.mark.parametrize("unit", [0, 3, 5])
def test_a_unit_that_always_equals_its_baseline_scores_zero(method, unit):
    layer = last(method)
    silent = scored(method, Network(constant=unit, silent=True), layers=layer)[layer]
    assert silent[unit] == 0
    assert np.count_nonzero(silent) > 1
    if "mean" in IMPORTANCE[method].baselines:
        mean = scored(method, Network(constant=unit), layers=layer, baselines="mean")[layer]
        assert mean[unit] == 0
        assert np.count_nonzero(mean) > 1


@keeping("unread")
def test_a_unit_that_nothing_reads_scores_zero(method):
    model, layer = Network(), last(method)
    model.out.weight.data[:, 2] = 0
    scores = scored(method, model, layers=layer)[layer]
    assert scores[2] == 0
    assert np.count_nonzero(scores) > 1


@keeping("weightless")
def test_a_unit_without_incoming_weights_scores_zero(method):
    scores = scored(method, Network(constant=2), layers=last(method))[last(method)]
    assert scores[2] == 0
    assert np.count_nonzero(scores) > 1


@keeping("neutral")
def test_a_neutral_state_is_a_name_a_number_or_tensors(method):
    model, half = Network(), torch.full((6,), 0.5)
    zero = scored(method, model, layers="latent")["latent"]
    for given_zero in (0.0, torch.zeros(6), {"latent": torch.zeros(6)}):
        assert (scored(method, model, layers="latent", baselines=given_zero)["latent"] == zero).all()
    number = scored(method, model, layers="latent", baselines=0.5)["latent"]
    assert not np.allclose(number, zero)
    assert (scored(method, model, layers="latent", baselines=half)["latent"] == number).all()
    with pytest.raises(ShapeError, match=r"'latent' has 6 units with 1 positions each, the baseline has shape \(5,\)"):
        scored(method, model, layers="latent", baselines=torch.zeros(5))
    with pytest.raises(ConfigError, match=r"baselines are of scored layers; got 'latnt'; nearest: latent"):
        scored(method, model, layers="latent", baselines={"latnt": torch.zeros(6)})


@pytest.mark.parametrize("method", [method for method, found in IMPORTANCE.items() if found.baselines == ("zero",)])
def test_a_method_without_a_neutral_state_refuses_one(method):
    for baseline in (0.5, torch.zeros(6)):
        with pytest.raises(ConfigError, match=rf"{method} compares a unit with no neutral state; got baselines="):
            scored(method, baselines=baseline)


@pytest.mark.parametrize("method", [method for method in IMPORTANCE if method not in SHARED])
def test_layers_scored_together_score_as_they_do_alone(method):
    together = scored(method)
    for layer in units(method):
        assert (scored(method, layers=layer)[layer] == together[layer]).all()


@every
def test_without_layers_the_network_names_its_own(method):
    more = _steps(method) | BATCH
    if units(method) is UNITS:
        assert score(Network(), loader(examples()), method=method, **more).layers == ("latent",)
    else:
        with pytest.raises(LayerError, match=r"'latent'"):
            score(Network(), loader(examples()), method=method, **more)


@having("weights")
def test_a_layer_without_weights_is_refused_with_the_one_before_it(method):
    with pytest.raises(
        LayerError, match=rf"{method} is of layers with weights .* 'latent' \(Hardtanh\) has none; name .* 'before'"
    ):
        scored(method, layers=["conv", "latent"])
    with pytest.raises(ConfigError, match=rf"{method} scores weights, which positions share; got each_position=True"):
        scored(method, each_position=True)


@having("labels")
def test_true_classes_are_needed_and_checked(method):
    with pytest.raises(DataError, match=rf"{method} needs the true classes; the loader gives inputs alone"):
        scored(method, data=[examples()])
    with pytest.raises(DataError, match=r"true labels are one class from 0 to 3 per example"):
        scored(method, data=[(examples(), torch.full((11,), 4))])


@having("target")
def test_a_target_is_a_class_and_each_class_has_its_own_scores(method):
    layer = last(method)
    found = [scored(method, layers=layer, target=target) for target in range(4)]
    assert [scores.target for scores in found] == [0, 1, 2, 3]
    assert len({scores[layer].tobytes() for scores in found}) == 4
    with pytest.raises(ConfigError, match=r"target must be a class of the network, 0 to 3; got 4"):
        scored(method, layers=layer, target=4)


@pytest.mark.parametrize("method", [method for method, found in IMPORTANCE.items() if not found.target])
def test_a_method_to_which_classes_mean_nothing_refuses_one(method):
    with pytest.raises(ConfigError, match=rf"{method} scores a unit for no class in particular; got target=1"):
        scored(method, target=1)


@every
@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(method, training):
    model = Network().train(training)
    model.norm.train(not training)
    model.out.bias.grad = torch.ones(4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    places = {name: (id(value), value.data_ptr()) for name, value in model.named_parameters()}
    scored(method, model)
    assert model.training == training
    assert model.norm.training != training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.dtype == before[name].dtype for name, value in model.state_dict().items())
    assert places == {name: (id(value), value.data_ptr()) for name, value in model.named_parameters()}
    assert list(before) == list(model.state_dict())
    assert torch.equal(model.out.bias.grad, torch.ones(4))
    assert model.conv.weight.grad is None
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert not any("forward" in vars(module) for module in model.modules())


@learning
def test_after_an_error_no_hook_is_left_and_the_mode_is_back(method):
    model = Network().train()
    places = {name: id(value) for name, value in model.named_parameters()}

    class Failing:
        def __iter__(self):
            yield examples(8), labels(examples(8))
            raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        scored(method, model, Failing())
    assert model.training
    assert places == {name: id(value) for name, value in model.named_parameters()}
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.is_grad_enabled()


@every
def test_frozen_networks_and_callers_without_gradients_get_the_same_scores(method):
    expected = scored(method)
    assert same(scored(method, Network().requires_grad_(False)), expected)
    with torch.no_grad():
        assert same(scored(method), expected)
    model, data = Network(), loader(examples())
    with torch.inference_mode():
        assert same(scored(method, model, data), expected)


@every
def test_scores_go_to_the_run_log_and_to_nodes(method):
    layer = last(method)
    scores = scored(method, layers=layer)
    document = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert same(Scores.from_dict(document), scores)
    count = units(method)[layer]
    by_node = scores.by_node(NodeSpace(4, (LayerUnits(layer, count),)))
    assert by_node == dict(zip(range(4, 4 + count), scores[layer].tolist(), strict=True))
    assert method in scores._repr_html_()
    assert f"{layer}:{count - 1}" in scores._repr_html_()


@every
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("latnet", r"no layer 'latnet' in Network; nearest: latent"),
        (["latent", "latent"], r"at least one layer is scored, and each once; got \['latent', 'latent'\]"),
        ([], r"at least one layer is scored, and each once; got \[\]"),
        (["latent", ""], r"no layer '' in Network"),
    ],
)
def test_layers_that_cannot_be_scored_are_refused(method, layers, message):
    with pytest.raises(LayerError, match=message):
        scored(method, layers=layers)


@every
def test_bad_settings_are_refused(method):
    with pytest.raises(ConfigError, match=rf"known method of importance; got '{method}x'; nearest: {method}"):
        score(Network(), loader(examples()), "latent", method + "x")
    with pytest.raises(ConfigError, match=rf"a baseline of {method} is a known neutral state, .*; got 'men'"):
        scored(method, baselines="men")
    with pytest.raises(ConfigError, match=rf"an option of {method} is one of its own; got 'colour'"):
        scored(method, colour="red")
    for name, rule in (
        ("n_steps", "n_steps must be a whole number of at least 1; got 0"),
        ("internal_batch_size", "a compute batch has at least 1 example; got batch=0"),
        ("threads", "a forward pass runs on at least 1 thread; got threads=0"),
    ):
        with pytest.raises(ConfigError, match=rule):
            scored(method, **{name: 0})


@learning
def test_bad_examples_are_refused(method):
    for baseline in IMPORTANCE[method].baselines:
        with pytest.raises(DataError, match=r"at least one example is needed; the loader gave none; check the split"):
            scored(method, data=[], baselines=baseline)
    broken = examples()
    broken[9, 0, 1, 1] = float("nan")
    with pytest.raises(LayerError, match=r"unit 0 of '\w+' is NaN at example 9"):
        scored(method, data=loader(broken), layers=list(units(method))[:2][-1])


@pytest.mark.parametrize("method", STILL)
def test_values_of_inputs_mean_nothing_to_methods_without_data(method):
    other = [(torch.full((3, 1, 4, 4), float("nan")), torch.zeros(3, dtype=torch.int64))]
    assert same(scored(method), scored(method, data=other))


def test_every_law_is_kept_by_some_method():
    assert {law for _, law in PAIRS} == set(LAWS)


@pytest.mark.parametrize("method", IMPORTANCE)
def test_a_page_says_what_it_is_what_it_costs_and_when_it_misleads(method):
    pages = Path(__file__).parents[2] / "docs" / "importance"
    page = (pages / f"{method}.md").read_text(encoding="utf-8")
    assert f'"{method}"' in page
    for part in ("**Formula.**", "**Cost.**", "**Target and baseline.**", "**When it misleads.**", "**Source.**"):
        assert part in page
    assert f"[{method}]({method}.md)" in (pages / "README.md").read_text(encoding="utf-8")
