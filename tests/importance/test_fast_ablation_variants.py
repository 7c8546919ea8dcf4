"""What was tried beside fast ablation: other gradients, group tests, other ways to spend, against definitions."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from analysis.cheap import gates, groups, variants
from analysis.fast_ablation import WAYS, compared
from benchmarks.cheap import SHARES, draws, fast, measure, subsampled

LAYERS = ("first", "second")


class Net(nn.Module):
    def __init__(self, adds: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.adds = adds
        self.first, self.second, self.out = nn.Linear(6, 20), nn.Linear(20, 16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = functional.relu(self.first(x))
        after = self.second(before)
        return self.out(functional.relu(after + before[:, :16] if self.adds else after))


def rows(count: int = 40) -> torch.Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(1))


@cache
def found() -> variants.Measurements:
    return variants.measured(Net(), rows(), LAYERS)


def test_without_gates_behind_all_effects_are_the_carried_ones():
    one = found()
    second = one.layers[1]
    for effects in (one.smoothed, one.rescaled, one.secants):
        np.testing.assert_allclose(effects[second], one.carried[second], rtol=1e-4, atol=1e-6)
        assert np.abs(effects[one.layers[0]] - one.carried[one.layers[0]]).max() > 1e-3


def test_a_smoothed_gate_is_the_mean_slope_over_changes():
    model, inputs = Net(), rows(8)
    effects = gates.smoothed(model, inputs, LAYERS)
    with torch.no_grad():
        opened = model.first(inputs).relu()
        given = model.second(opened)
        width = gates.SMOOTH * given.square().mean(0).sqrt()
        noise = torch.randn(4000, 1, 16, generator=torch.Generator().manual_seed(2)) * width
        slope = ((given + noise) > 0).float().mean(0)
        expected = torch.einsum("eu,hu,eh,lh->uel", opened, model.second.weight, slope, model.out.weight)
    np.testing.assert_allclose(effects[:20], expected.numpy(), atol=0.03)


def test_the_rescale_rule_accounts_for_the_way_from_a_blank_input():
    model, inputs = Net(), rows(8)
    effects = gates.rescaled(model, inputs, LAYERS)
    with torch.no_grad():
        opened, blank = model.first(inputs).relu(), model.first(torch.zeros(1, 6)).relu()
        given, reference = model.second(opened), model.second(blank)
        slope = (given.relu() - reference.relu()) / (given - reference)
        expected = torch.einsum("eu,hu,eh,lh->uel", opened, model.second.weight, slope, model.out.weight)
        np.testing.assert_allclose(effects[:20], expected.numpy(), rtol=1e-3, atol=1e-5)
        reached = torch.einsum("eu,hu,eh,lh->el", opened - blank, model.second.weight, slope, model.out.weight)
        torch.testing.assert_close(reached, model(inputs) - model(torch.zeros(1, 6)), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("adds", [False, True])
def test_a_secant_takes_its_gradient_a_step_towards_the_neutral_layer(adds):
    model, inputs = Net(adds), rows(8)
    effects = gates.secants(model, inputs, LAYERS)
    opened = model.first(inputs).relu().detach()
    at = ((1 - gates.STEP) * opened).requires_grad_()
    given = model.second(at)
    logits = model.out(functional.relu(given + at[:, :16] if adds else given))
    for logit in range(5):
        (gradient,) = torch.autograd.grad(logits[:, logit].sum(), at, retain_graph=True)
        np.testing.assert_allclose(effects[:20, :, logit].T, (gradient * opened).numpy(), rtol=1e-4, atol=1e-6)


def test_groups_part_the_units_of_a_layer_and_their_damage_is_exact():
    model, inputs = Net(), rows(6)
    [first, second] = groups.ablated(model, inputs, LAYERS, 4)
    assert first.damage.shape == (6, 5)
    assert second.damage.shape == (6, 4)
    assert (first.group[0] != first.group[1]).any()
    with torch.no_grad():
        for example in range(6):
            assert np.bincount(second.group[example]).tolist() == [4, 4, 4, 4]
            for test in range(5):
                kept = torch.from_numpy(first.group[example] != test)
                after = model.out(model.second((model.first(inputs[example]) * kept).relu()).relu())
                apart = (model(inputs[example : example + 1])[0] - after).norm()
                assert first.damage[example, test] == pytest.approx(float(apart), rel=1e-4, abs=1e-6)


def test_group_tests_find_the_units_that_do_it_alone():
    draw = np.random.default_rng(0)
    order = np.stack([draw.permutation(20) for _ in range(groups.POOL)])
    strong = np.where(np.arange(20) < 3, 5.0, 0.1)
    group = order // groups.SIZE
    damage = np.stack([[np.sqrt((strong[row == test] ** 2).sum()) for test in range(5)] for row in group])
    value = groups._regressed(groups.Groups(group, damage), np.arange(groups.POOL))
    assert sorted(np.argsort(value)[-3:]) == [0, 1, 2]
    assert value[:3].min() > 4 * value[3:].max()


def test_every_way_ranks_units_better_than_chance_with_a_fifth_of_the_cost():
    one = found()
    for name, way in WAYS.items():
        values = way(one, 1 / 5, np.random.default_rng(0))
        assert values.shape == one.truth.shape, name
        assert np.isfinite(values).all(), name
        assert one.within(values) > 0.15, name


def test_what_is_measured_first_is_what_the_benchmark_measures():
    one, alone = found(), measure(Net(), rows(), LAYERS)
    np.testing.assert_array_equal(one.damage, alone.damage)
    np.testing.assert_array_equal(one.classes, Net()(rows()).argmax(1).numpy())
    assert draws(one, fast, 1 / 10, 2).tolist() == draws(alone, fast, 1 / 10, 2).tolist()


def test_ways_are_compared_with_the_control_draw_by_draw():
    one = found()
    ways = {"control": subsampled, "fast": fast}
    [best, control] = compared([one, one], ways, SHARES, 3)
    assert (best["way"], control["way"]) == ("fast", "control")
    figure = best["figures"]["1/50"]
    apart = draws(one, fast, 1 / 50, 3) - draws(one, subsampled, 1 / 50, 3)
    assert figure["less_control"] == pytest.approx(apart.mean())
    assert figure["interval"] == pytest.approx([apart.mean()] * 2)  # the same training twice
    assert control["figures"]["1/50"]["interval"] is None


def test_what_is_kept_before_a_layer_is_not_counted():
    one = found()
    whole = 6 * 20 + 20 * 16 + 16 * 5
    assert one.behind == pytest.approx([(20 * 16 + 16 * 5) / whole, 16 * 5 / whole])
    spent = variants.planned(one, 1 / 5)
    behind = sum(spent.units(size) * part for size, part in zip((20, 16), one.behind, strict=True))
    ablations = spent.ablated * (behind + 4 + 2 + 2 * 5)
    exact = 40 * (20 * one.behind[0] + 16 * one.behind[1] + 2)
    assert one.kept(1 / 5) == pytest.approx((40 * (2 + 2 * spent.directions) + ablations) / exact)
    convolution = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 36, 3))
    assert variants.behind(convolution, torch.zeros(1, 1, 8, 8), ["0"]) == pytest.approx([216 / (216 + 18 * 36)])
