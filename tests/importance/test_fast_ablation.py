"""Fast ablation: exact where the rest of a network is linear, else as near as its standard errors say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from benchmarks import cheap
from ndg.activations.batches import Batch
from ndg.errors import ConfigError, DataError
from ndg.gradients.tape import Tape
from ndg.importance.methods import fast_ablation
from ndg.importance.methods.fast.carried import Carried
from ndg.importance.methods.fast.estimate import Evidence, estimate
from ndg.importance.methods.fast.plan import plan
from ndg.importance.score import IMPORTANCE, score
from ndg.importance.settings import ScoreSettings
from ndg.interventions.baselines import Neutrals
from ndg.options import RunOptions

OPTIONS = RunOptions(batch=16)


@pytest.fixture(autouse=True)
def entered(monkeypatch):
    monkeypatch.setitem(IMPORTANCE, "fast_ablation", fast_ablation.METHOD)


class Block(nn.Module):
    """A convolution and a shortcut, normalised, added, through a ReLU and a pool; what follows is linear."""

    def __init__(self, inplace: bool = True, adds: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.adds = adds
        self.conv, self.short = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(2, 6, 1)
        self.norm, self.relu = nn.BatchNorm2d(6), nn.ReLU(inplace=inplace)
        self.norm.running_mean, self.norm.running_var = torch.randn(6) / 3, torch.rand(6) + 0.5
        self.pool, self.out = nn.MaxPool2d(2), nn.Linear(24, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        both = self.norm(self.conv(x))
        if self.adds:
            both += self.short(x)
        else:
            both = both + self.short(x)
        return self.out(self.pool(self.relu(both)).flatten(1))


class Deep(nn.Module):
    """Three layers of 40 units before the logits."""

    def __init__(self, seed: int = 0, width: int = 40) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second, self.third = nn.Linear(10, width), nn.Linear(width, width), nn.Linear(width, width)
        self.out = nn.Linear(width, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (self.first, self.second, self.third):
            x = functional.relu(layer(x))
        return self.out(x)


DEEP = ("first", "second", "third")


def images(count: int = 30) -> torch.Tensor:
    return torch.randn(count, 2, 4, 4, generator=torch.Generator().manual_seed(1))


def rows(count: int = 200) -> torch.Tensor:
    return torch.randn(count, 10, generator=torch.Generator().manual_seed(1))


def both(model, data, layers, budget, target=None, **settings):
    how = {"target": target, "settings": ScoreSettings(**settings), "options": OPTIONS}
    fast = score(model, data, layers, "fast_ablation", budget=budget, **how)
    return fast, score(model, data, layers, "ablation", **how)


@pytest.mark.parametrize("baseline", ["zero", "mean", "resample", 0.3])
@pytest.mark.parametrize("inplace", [True, False])
def test_it_is_exact_where_the_rest_is_linear(baseline, inplace):
    fast, exact = both(Block(inplace=inplace), [images()], ["conv", "short"], 0.98, baselines=baseline)
    for layer in ("conv", "short"):
        np.testing.assert_allclose(fast[layer], exact[layer], rtol=1e-4, atol=1e-6)
        assert fast.errors[layer].max() < 1e-4 * exact[layer].max()
    assert fast.baseline == exact.baseline


def test_it_is_exact_for_one_class_and_keeps_the_sign():
    fast, exact = both(Block(), [images()], ["conv", "short"], 0.98, target=1)
    np.testing.assert_allclose(fast["conv"], exact["conv"], rtol=1e-4, atol=1e-6)
    assert exact["conv"].min() < 0 < exact["conv"].max()
    assert fast.target == 1


def test_positions_of_a_channel_are_units_too():
    fast, exact = both(Block(), [images()], ["conv"], 0.5, each_position=True)
    assert fast["conv"].shape == (6 * 16,)
    assert np.corrcoef(fast["conv"], exact["conv"])[0, 1] > 0.9


def carried(model: nn.Module, inputs, layers):
    batch = Batch(0, len(inputs), inputs, None)
    with Tape(model.eval(), layers) as tape, Carried(model, tape, layers, Neutrals("zero")) as found:
        logits = found.run(batch)
        effects = [
            {
                layer: (gradient * found.changes[layer]).sum(2)
                for layer, gradient in found.gradients(one, last=False).items()
            }
            for one in logits.unbind(dim=1)
        ]
        return found.through, {layer: torch.stack([one[layer] for one in effects], dim=2).detach() for layer in layers}


@pytest.mark.parametrize("adds", [True, False])
def test_the_way_of_a_unit_is_followed_to_where_units_mix(adds):
    model = Block(adds=adds)
    through, effects = carried(model, images(), ["conv", "short"])
    assert through["conv"] == ("batch_norm", "add", "relu", "max_pool2d")
    assert through["short"] == ("add", "relu", "max_pool2d")
    with torch.no_grad():
        model.eval()
        before = model(images())
        for unit in range(6):
            handle = model.conv.register_forward_hook(lambda m, a, o, u=unit: o.index_fill(1, torch.tensor([u]), 0))
            after = model(images())
            handle.remove()
            torch.testing.assert_close(effects["conv"][:, unit], before - after, atol=1e-5, rtol=1e-4)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.one, self.two = nn.Linear(3, 5), nn.Linear(5, 2), nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        opened = self.layer(x).relu()
        return self.one(opened) + self.two(torch.tanh(opened))


def test_a_value_that_is_read_twice_ends_the_way():
    assert carried(Twice(), torch.randn(4, 3), ["layer"])[0] == {"layer": ("relu",)}


@pytest.mark.parametrize(
    ("between", "through"),
    [
        (nn.BatchNorm1d(5, track_running_stats=False), ()),  # statistics of the batch mix examples
        (nn.LayerNorm(5), ()),
        (nn.Softmax(dim=1), ()),
        (nn.AvgPool1d(3, 1, 1), ()),  # of a table, over units
        (
            nn.Sequential(nn.GELU(), nn.Dropout(0.5), nn.BatchNorm1d(5), nn.Tanh()),
            ("gelu", "dropout", "batch_norm", "tanh"),
        ),
    ],
)
def test_units_that_meet_others_end_the_way(between, through):
    model = nn.Sequential(nn.Linear(3, 5), between, nn.Linear(5, 2))
    assert carried(model, torch.randn(4, 3), ["0"])[0] == {"0": through}


def test_where_nothing_is_on_the_way_effects_are_those_of_gndi():
    model = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Linear(5, 2))
    inputs = torch.randn(4, 3)
    _, effects = carried(model, inputs, ["0"])
    gndi = score(model, [inputs], ["0"], options=RunOptions(batch=4))["0"]
    np.testing.assert_allclose(effects["0"].norm(dim=2).mean(0), gndi, rtol=1e-5)


class Steps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.out = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.cell(x)[0].tanh().mean(dim=1))


@pytest.mark.parametrize("layer", ["cell", "cell.gates"])
def test_recurrent_units_and_their_gates(layer):
    fast, exact = both(Steps(), [torch.randn(60, 5, 3, generator=torch.Generator().manual_seed(1))], [layer], 0.9)
    assert np.corrcoef(fast[layer], exact[layer])[0, 1] > 0.9


def evidence(damage, effects, first=None, ablated=None, drawn=0.0, variance=None) -> Evidence:
    first = effects.mean(axis=1) if first is None else first
    units = len(first)
    return Evidence(
        first, np.abs(first), np.zeros(units) if variance is None else variance, np.ones(units),
        np.ones(units, dtype=bool) if ablated is None else ablated, damage, effects, drawn,
    )  # fmt: skip


def test_effects_that_are_off_by_one_factor_need_no_ablation_of_each_unit():
    draw = np.random.default_rng(0)
    effects = draw.random((9, 3)) + 0.1
    first = effects.mean(axis=1) * (draw.random(9) + 0.5)
    ablated = np.arange(9) < 6
    known = evidence(2.5 * effects[ablated], effects[ablated], first, ablated)
    [(values, errors)] = estimate([known])
    np.testing.assert_allclose(values, 2.5 * first)
    np.testing.assert_allclose(errors, 0, atol=1e-9)


def test_with_all_examples_ablated_the_mean_damage_comes_out():
    draw = np.random.default_rng(1)
    damage, effects = draw.random((7, 20)), draw.random((7, 20))
    [(values, errors)] = estimate([evidence(damage, effects, drawn=1.0)])
    np.testing.assert_allclose(values, damage.mean(axis=1))
    np.testing.assert_allclose(errors, 0, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 6))
def test_estimates_lie_between_first_order_and_ablation(seed, examples):
    draw = np.random.default_rng(seed)
    damage, effects = draw.random((8, examples)), draw.random((8, examples)) + 0.05
    [(values, errors)] = estimate([evidence(damage, effects)])
    sizes = effects.mean(axis=1)
    faint = sizes + 0.03 * sizes.sum() / 8
    d, f = damage / faint[:, None], effects / faint[:, None]
    ratio = sum(d[u] @ f[u] for u in range(8)) / sum(f[u] @ f[u] for u in range(8))
    lowest, highest = np.sort([ratio * sizes, damage.mean(axis=1)], axis=0)
    assert (values >= lowest - 1e-9).all()
    assert (values <= highest + 1e-9).all()
    assert (errors > 0).all()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=6), st.integers(20, 500), st.integers(2, 50),
    st.floats(0.001, 0.999),
)  # fmt: skip
def test_a_plan_stays_within_what_there_is(layers, examples, logits, budget):
    planned = plan(layers, examples, logits, budget)
    assert 1 <= planned.directions <= logits
    assert 1 <= planned.examples <= examples
    assert 2 <= planned.ablated <= examples
    assert all(min(4, units) <= planned.units(units) <= units for units in layers)


@settings(max_examples=50, deadline=None)
@given(st.integers(64, 400), st.integers(200, 1000), st.sampled_from([1 / 50, 1 / 20, 1 / 10, 1 / 3]))
def test_a_plan_keeps_its_budget_where_the_network_is_not_tiny(units, examples, budget):
    layers = [units, units, units]
    planned = plan(layers, examples, 10, budget)
    cost = planned.examples * (2 + 2 * planned.directions) + planned.ablated * (
        sum(map(planned.units, layers)) + 2 * len(layers) + 2 + 2 * planned.on_ablated
    )
    assert cost <= budget * planned.exact


@pytest.mark.parametrize("budget", [0, 1, -0.1, float("nan")])
def test_a_budget_is_a_share(budget):
    with pytest.raises(ConfigError, match=r"the budget is a share of the exact cost, above 0 and below 1; got"):
        score(Deep(), [rows()], DEEP, "fast_ablation", budget=budget)


def test_an_iterator_is_refused():
    with pytest.raises(DataError, match=r"reads the loader several times, and an iterator can be read once"):
        score(Deep(), iter([rows()]), DEEP, "fast_ablation")


def test_its_cost_is_what_it_passed():
    model, passed = Deep(), []
    model.register_forward_pre_hook(lambda module, inputs: passed.append(len(inputs[0])))
    found = score(model, [rows()], DEEP, "fast_ablation", budget=1 / 20, options=RunOptions(batch=200))
    assert found.facts["cost"] <= found.facts["exact_cost"] / 20
    assert found.facts["exact_cost"] == 120 * 200
    backwards_and_neutral = found.facts["effects_of_examples"] * (1 + 2 * found.facts["directions"])
    backwards_and_neutral += found.facts["ablated_examples"] * (1 + 2 * 6)
    assert found.facts["cost"] - backwards_and_neutral <= sum(passed)  # passes of ablations are filled up


@pytest.mark.parametrize("size", [1, 7, 64])
def test_batches_of_the_loader_change_nothing(size):
    one, other = (
        score(Deep(), list(rows().split(by)), DEEP, "fast_ablation", budget=0.05, options=RunOptions(seed=3, batch=32))
        for by in (size, 200)
    )
    assert one.to_dict() == other.to_dict()


def test_another_seed_is_another_draw():
    one, other = (
        score(Deep(), [rows()], DEEP, "fast_ablation", budget=0.05, options=RunOptions(seed=seed)) for seed in (0, 1)
    )
    assert (one["first"] != other["first"]).any()


def test_it_ranks_better_than_ablation_on_few_examples_and_knows_its_errors():
    measured = cheap.measure(Deep(), rows(), DEEP)
    exact = score(Deep(), [rows()], DEEP, "ablation", options=RunOptions(batch=100))
    np.testing.assert_allclose(measured.truth, np.concatenate([exact[layer] for layer in DEEP]), rtol=1e-5)
    for share in (1 / 50, 1 / 20):
        fast, poor = (cheap.draws(measured, way, share, 6) for way in (cheap.fast, cheap.subsampled))
        assert cheap.low((fast - poor)[None])[0] > 0
    held = []
    for seed in range(6):
        found = score(Deep(), [rows()], DEEP, "fast_ablation", budget=1 / 20, options=RunOptions(seed=seed))
        values, errors = (np.concatenate([of[layer] for layer in DEEP]) for of in (found, found.errors))
        held.append(np.abs(values - measured.truth) <= 2 * errors)
        assert measured.within(values) > 0.95
    assert 0.93 <= np.mean(held) < 1


def test_draws_from_what_was_measured_are_those_of_the_score():
    measured = cheap.measure(Deep(), rows(), DEEP)
    replayed = np.mean([measured.within(cheap.fast(measured, 0.05, np.random.default_rng(one))) for one in range(8)])
    scored = []
    for seed in range(8):
        found = score(Deep(), [rows()], DEEP, "fast_ablation", budget=0.05, options=RunOptions(seed=seed))
        scored.append(measured.within(np.concatenate([found[layer] for layer in DEEP])))
    assert abs(np.mean(scored) - replayed) < 0.02
