"""What every method of importance keeps. A new one in `IMPORTANCE` is tested here without a line."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ndg.errors import ConfigError, DataError, LayerError
from ndg.importance.score import IMPORTANCE, score
from ndg.importance.scores import Scores
from ndg.nodes import LayerUnits, NodeSpace

pytestmark = pytest.mark.parametrize("method", IMPORTANCE)

UNITS = {"conv": 3, "hidden": 8, "latent": 6}
OPTIONS = {"steps": 4, "batch": 8}


class Network(nn.Module):
    """A convolution, dense layers, dropout; unit `constant` of the latent layer is always 0.75, or 0 if `silent`."""

    latent_layer = "latent"

    def __init__(self, seed: int = 0, constant: int | None = None, silent: bool = False) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.relu, self.hidden = nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Linear(12, 8)
        self.dropout, self.before, self.latent = nn.Dropout(0.5), nn.Linear(8, 6), nn.Hardtanh(-1.0, 1.0)
        self.norm, self.out = nn.BatchNorm1d(6), nn.Linear(6, 4)
        self.norm.running_mean, self.norm.running_var = torch.randn(6), torch.rand(6) + 0.5
        if constant is not None:
            self.before.weight.data[constant] = 0
            self.before.bias.data[constant] = 0.0 if silent else 0.75

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.hidden(self.relu(self.conv(x)).flatten(1)).tanh()
        return self.out(self.norm(self.latent(self.before(self.dropout(hidden)))))


def examples(n: int = 21, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def loader(inputs: torch.Tensor, size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    labels = torch.zeros(len(inputs), dtype=torch.int64)
    return list(zip(inputs.split(size), labels.split(size), strict=True))


def same(a: Scores, b: Scores) -> bool:
    return a.to_dict() == b.to_dict()


def test_one_finite_float_per_unit_of_each_layer(method):
    scores = score(Network(), loader(examples(), 5), UNITS, method, **OPTIONS)
    assert scores.layers == tuple(UNITS)
    for layer, units in UNITS.items():
        assert scores[layer].shape == (units,)
        assert scores[layer].dtype == np.float64
        assert np.isfinite(scores[layer]).all()
        assert np.isfinite(scores.whole[layer])
    assert (scores.method, scores.measure, scores.examples) == (method, "logits", 21)
    assert scores.facts["forward_passes"] > 0
    assert scores.facts["backward_passes"] > 0
    assert scores.frame().shape == (sum(UNITS.values()), 5)


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(1, 20), max_size=6, unique=True).map(sorted))
def test_any_cut_into_batches_gives_the_same_bits(method, cuts):
    inputs, model = examples(), Network()
    parts = [part for part in torch.tensor_split(inputs, cuts) if len(part)]
    whole = score(model, [inputs], UNITS, method, **OPTIONS)
    assert same(score(model, parts, UNITS, method, **OPTIONS), whole)


@pytest.mark.parametrize("size", [1, 7, 21])
@pytest.mark.parametrize("baseline", ["zero", "mean"])
def test_the_batch_size_of_the_loader_does_not_change_a_bit(method, baseline, size):
    model = Network()
    one = score(model, loader(examples(), size), UNITS, method, baseline=baseline, **OPTIONS)
    assert same(one, score(model, loader(examples(), 3), UNITS, method, baseline=baseline, **OPTIONS))


def test_the_compute_batch_changes_no_more_than_rounding(method):
    small, large = (score(Network(), [examples()], UNITS, method, steps=4, batch=size) for size in (4, 32))
    for layer in UNITS:
        np.testing.assert_allclose(small[layer], large[layer], rtol=1e-4, atol=1e-6)


def test_scores_of_two_sets_of_examples_are_weighted_means_of_their_parts(method):
    inputs, model = examples(), Network()
    first, second, both = (score(model, [part], UNITS, method, **OPTIONS) for part in (inputs[:8], inputs[8:], inputs))
    for layer in UNITS:
        np.testing.assert_allclose(both[layer], (8 * first[layer] + 13 * second[layer]) / 21, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("baseline", ["zero", "mean"])
def test_the_same_call_gives_the_same_scores_whatever_the_random_state(method, baseline):
    model, calls = Network(), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        calls.append(score(model, [examples()], UNITS, method, baseline=baseline, **OPTIONS))
    assert same(*calls)


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(6)))
def test_permuting_units_permutes_scores(method, order):
    model, permuted = Network(), Network()
    permuted.before.weight.data, permuted.before.bias.data = model.before.weight[order], model.before.bias[order]
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(permuted.norm, name).data = getattr(model.norm, name)[order].data
    permuted.out.weight.data = model.out.weight[:, order]
    expected = score(model, [examples()], "latent", method, **OPTIONS)["latent"][order]
    found = score(permuted.requires_grad_(False), [examples()], "latent", method, **OPTIONS)["latent"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("unit", [0, 3, 5])
def test_a_unit_that_always_equals_its_baseline_scores_zero(method, unit):
    silent = score(Network(constant=unit, silent=True), [examples()], "latent", method, **OPTIONS)["latent"]
    assert silent[unit] == 0
    assert np.count_nonzero(silent) > 1
    constant = Network(constant=unit)
    mean = score(constant, [examples()], "latent", method, baseline="mean", **OPTIONS)["latent"]
    assert mean[unit] == 0
    assert np.count_nonzero(mean) > 1


def test_a_unit_that_nothing_reads_scores_zero(method):
    model = Network()
    model.out.weight.data[:, 2] = 0
    scores = score(model, [examples()], "latent", method, **OPTIONS)["latent"]
    assert scores[2] == 0
    assert np.count_nonzero(scores) > 1


def test_layers_scored_together_score_as_they_do_alone(method):
    together = score(Network(), [examples()], UNITS, method, **OPTIONS)
    for layer in UNITS:
        assert (score(Network(), [examples()], layer, method, **OPTIONS)[layer] == together[layer]).all()


def test_without_layers_the_network_names_its_own(method):
    assert score(Network(), [examples()], method=method, **OPTIONS).layers == ("latent",)


def test_a_target_is_a_class_and_each_class_has_its_own_scores(method):
    found = [score(Network(), [examples()], "latent", method, target, **OPTIONS) for target in range(4)]
    assert [scores.target for scores in found] == [0, 1, 2, 3]
    assert len({scores["latent"].tobytes() for scores in found}) == 4
    with pytest.raises(ConfigError, match=r"target must be a class of the network, 0 to 3; got 4"):
        score(Network(), [examples()], "latent", method, 4, **OPTIONS)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(method, training):
    model = Network().train(training)
    model.norm.train(not training)
    model.out.bias.grad = torch.ones(4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    score(model, [examples()], UNITS, method, **OPTIONS)
    assert model.training == training
    assert model.norm.training != training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model.out.bias.grad, torch.ones(4))
    assert model.conv.weight.grad is None
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_after_an_error_no_hook_is_left_and_the_mode_is_back(method):
    model = Network().train()

    def failing():
        yield examples(8)
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        score(model, failing(), UNITS, method, **OPTIONS)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.is_grad_enabled()


def test_frozen_networks_and_callers_without_gradients_get_the_same_scores(method):
    expected = score(Network(), [examples()], UNITS, method, **OPTIONS)
    assert same(score(Network().requires_grad_(False), [examples()], UNITS, method, **OPTIONS), expected)
    with torch.no_grad():
        assert same(score(Network(), [examples()], UNITS, method, **OPTIONS), expected)
    model, inputs = Network(), examples()
    with torch.inference_mode():
        assert same(score(model, [inputs], UNITS, method, **OPTIONS), expected)


def test_scores_go_to_the_run_log_and_to_nodes(method):
    scores = score(Network(), [examples()], "latent", method, **OPTIONS)
    document = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert same(Scores.from_dict(document), scores)
    by_node = scores.by_node(NodeSpace(4, (LayerUnits("latent", 6),)))
    assert by_node == dict(zip(range(4, 10), scores["latent"].tolist(), strict=True))
    assert method in scores._repr_html_()
    assert "latent:5" in scores._repr_html_()


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
        score(Network(), [examples()], layers, method)


def test_bad_settings_and_bad_examples_are_refused(method):
    with pytest.raises(ConfigError, match=rf"known method of importance; got '{method}x'; nearest: {method}"):
        score(Network(), [examples()], "latent", method + "x")
    with pytest.raises(ConfigError, match=r"a baseline is a known neutral state; got 'men'; nearest: mean"):
        score(Network(), [examples()], "latent", method, baseline="men")
    for name in ("steps", "batch", "threads"):
        with pytest.raises(ConfigError, match=rf"{name} must be at least 1; got 0"):
            score(Network(), [examples()], "latent", method, **{name: 0})
    for baseline in ("zero", "mean"):
        with pytest.raises(DataError, match=r"at least one example is needed; the loader gave none; check the split"):
            score(Network(), [], "latent", method, baseline=baseline)
    broken = examples()
    broken[13, 0, 1, 1] = float("nan")
    with pytest.raises(LayerError, match=r"unit 0 of 'hidden' is NaN at example 13"):
        score(Network(), [broken], "hidden", method, **OPTIONS)
