"""Sufficient sets: the members of planted gates, no base rates, labels, and clear errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg import seeds
from ndg.causal import SetSettings, effects, recombine, sufficient_sets
from ndg.errors import ConfigError, GraphError
from ndg.intervals import wilson


class Planted(nn.Module):
    """Six latents, 0 or 1; gates 0: 0 and 1 and not 2; 1: 3 or 4; 2: always on; class 1 where both gates are on."""

    def __init__(self):
        super().__init__()
        self.latent, self.gates, self.on, self.out = nn.Sigmoid(), nn.Linear(6, 3), nn.Sigmoid(), nn.Linear(3, 2)
        with torch.no_grad():
            self.gates.weight.copy_(60 * torch.tensor([[1.0, 1, -1, 0, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]]))
            self.gates.bias.copy_(60 * torch.tensor([-1.5, -0.5, 1.0]))
            self.out.weight.copy_(torch.tensor([[0.0, 0, 0], [1, 1, 0]]))
            self.out.bias.copy_(torch.tensor([0.0, -1.5]))

    def forward(self, x):
        return self.out(self.on(self.gates(self.latent(x))))


def examples(count, seed):
    torch.manual_seed(seed)
    x = 30 * torch.randn(count, 6).sign()
    return [(x, torch.zeros(count, dtype=torch.long))]


@pytest.fixture(scope="module")
def planted():
    model = Planted().eval()
    fit, test = examples(600, 0), examples(400, 1)
    bits = ndg.extract(model, fit, ["latent", "gates"])
    graph = ndg.mine(bits, "paper", alpha=2)
    return model, graph, fit, test, effects(recombine(model, fit, "latent", "independent", 4000, like=bits))


@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_the_sets_are_the_members_of_the_gates(planted, executor):
    found = sufficient_sets(*planted, options=ndg.RunOptions(executor=executor))
    members = {each.target: set(each.members) for each in found.sets}
    assert members["gates:0"] == {"latent:0", "latent:1", "~latent:2"}
    assert members["~gates:1"] == {"~latent:3", "~latent:4"}
    assert len(members["~gates:0"]) == 1
    assert members["~gates:0"] < {"~latent:0", "~latent:1", "latent:2"}
    assert len(members["gates:1"]) == 1
    assert members["gates:1"] < {"latent:3", "latent:4"}
    assert "gates:2" not in members
    assert found.covered == 1.0
    assert all(each.test[0] == each.test[1] > 0 for each in found.sets)


def test_only_examples_on_which_the_target_was_false_count(planted):
    model, graph, fit, test, mined = planted
    (each,) = sufficient_sets(model, graph, fit, test, mined, ["gates:0"]).sets
    bits = ndg.extract(model, test, like=graph).to_bool("gates")[:, 0]
    assert each.test[0] == int((~bits).sum())
    low, high = wilson(each.test[1], each.test[0])
    assert each.interval == pytest.approx((float(low), float(high)))


def test_a_label_is_forced_by_the_set_of_its_gates(planted):
    model, graph, fit, test, mined = planted
    found = sufficient_sets(model, graph, fit, test, mined, ["label:1"])
    members = set(found.sets[0].members)
    assert {"latent:0", "latent:1", "~latent:2"} < members
    assert members & {"latent:3", "latent:4"}
    assert found.sets[0].survives
    assert "1 of 1 targets have a sufficient set" in found.words()


def test_whole_sets_begin_with_the_members_that_are_enough(planted):
    model, graph, fit, test, mined = planted
    enough, whole = (
        sufficient_sets(model, graph, fit, test, mined, ["label:1"], settings=SetSettings(whole=value)).sets[0].members
        for value in (False, True)
    )
    assert len(enough) < len(whole) == 6
    assert whole[: len(enough)] == enough


def test_a_set_that_is_too_small_is_not_found_and_does_not_survive(planted):
    model, graph, fit, test, mined = planted
    found = sufficient_sets(model, graph, fit, test, mined, ["gates:0"], settings=SetSettings(at_most=2))
    assert not found.sets[0].found
    assert not found.sets[0].survives
    assert found.covered == 0.0
    assert len(found.frame()) == 1


def test_units_taken_at_random_are_a_control(planted):
    model, graph, fit, test, mined = planted
    node = graph.nodes.literal("gates:0").node
    for seed in range(3):
        options = ndg.RunOptions(seed=seed)
        first = set(seeds.generator(seed, f"order of {node}").permutation(6)[:5].tolist())
        settings = SetSettings(at_most=5, order="random")
        found = sufficient_sets(model, graph, fit, test, mined, ["gates:0"], settings=settings, options=options)
        assert found.sets[0].survives == ({0, 1, 2} <= first)
        assert "literals of latent, taken at random" in found.words()
        if found.sets[0].survives:
            assert set(found.sets[0].members) == {"latent:0", "latent:1", "~latent:2"}


def test_what_has_no_sets_is_named(planted):
    model, graph, fit, test, mined = planted
    with pytest.raises(GraphError, match="a target is a node of the graph"):
        sufficient_sets(model, graph, fit, test, mined, ["gates:9"])
    with pytest.raises(ConfigError, match="lies behind 'latent'"):
        sufficient_sets(model, graph, fit, test, mined, ["latent:0"])
    with pytest.raises(ConfigError, match="at least 1 member"):
        SetSettings(at_most=0)
    with pytest.raises(ConfigError, match="taken by effect or at random; got order='votes'"):
        SetSettings(order="votes")
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        SetSettings(at_least=1.5)
    other = Planted()
    with torch.no_grad():
        other.out.bias.add_(1)
    with pytest.raises(GraphError, match="the network that it was mined from"):
        sufficient_sets(other, graph, fit, test, mined, ["gates:0"])
    assert np.isfinite(mined.effect).any()
