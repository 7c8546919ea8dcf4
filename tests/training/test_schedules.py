"""Learning rates and optimisers: the schedules on paper, the groups of parameters, a step worked by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ndg import config, models, training
from ndg.config import Train
from ndg.config.validation import SCHEDULES
from ndg.errors import ConfigError
from ndg.training.schedules import FACTOR, optimizer_of, set_rate
from tests.references.rates import rates


class Half(nn.Module):
    """A network whose body came from elsewhere; `bodywork` only looks as if it did."""

    pretrained_parts = ("body", "lone")

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
        self.bodywork = nn.Linear(4, 4)
        self.lone = nn.Parameter(torch.ones(4))
        self.head = nn.Linear(4, 2)

    def forward(self, inputs):
        return self.head(self.bodywork(self.body(inputs) * self.lone).tanh())


@pytest.mark.parametrize("steps", [1, 2, 7, 50, 333])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.37, 0.99])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_rate_at_every_step_is_that_on_paper(schedule, warmup, steps):
    settings = Train(schedule=schedule, warmup=warmup)
    got = [training.schedule(settings, step, steps) for step in range(steps)]
    assert got == pytest.approx(rates(schedule, warmup, steps), abs=1e-12)
    assert all(0 < rate <= 1 + 1e-12 for rate in got), "no step is wasted"


@pytest.mark.parametrize(
    ("schedule", "chosen"),
    [
        ("constant", {0: 0.1, 4: 0.5, 9: 1.0, 10: 1.0, 49: 1.0}),
        ("linear", {0: 0.1, 9: 1.0, 10: 1.0, 20: 0.75, 30: 0.5, 49: 0.025}),
        ("cosine", {0: 0.1, 9: 1.0, 10: 1.0, 20: 0.5 + 0.5**1.5, 30: 0.5, 40: 0.5 - 0.5**1.5}),
        ("triangular", {0: 0.04, 11: 0.48, 24: 1.0, 25: 1.0, 26: 0.96, 37: 0.52, 49: 0.04}),
    ],
)
def test_exact_values_of_fifty_steps_of_which_ten_warm_up(schedule, chosen):
    settings = Train(schedule=schedule, warmup=0.2)
    assert {step: training.schedule(settings, step, 50) for step in chosen} == pytest.approx(chosen)


def test_triangular_is_as_high_on_the_way_up_as_on_the_way_down_and_does_not_read_the_warm_up():
    one, other = (Train(schedule="triangular", warmup=warmup) for warmup in (0.0, 0.3))
    walk = [training.schedule(one, step, 60) for step in range(60)]
    assert walk == [training.schedule(other, step, 60) for step in range(60)]
    assert walk == pytest.approx(walk[::-1])


def test_pretrained_and_new_parts_learn_at_their_own_rates():
    network = Half()
    optimizer = optimizer_of(network, Train(pretrained_rate=0.25, new_rate=3.0))
    set_rate(optimizer, 0.1)
    rate = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    assert len(rate) == sum(len(group["params"]) for group in optimizer.param_groups) == len([*network.parameters()])
    for name, parameter in network.named_parameters():
        assert rate[id(parameter)] == pytest.approx(0.025 if name.startswith(("body.", "lone")) else 0.3), name


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_network_without_pretrained_parts_is_one_group(optimizer):
    network = models.build(config.MLP(), (1, 8, 8), 10, seed=0)
    (group,) = optimizer_of(network, Train(optimizer=optimizer, new_rate=2.0)).param_groups
    assert group[FACTOR] == 2.0
    assert len(group["params"]) == len([*network.parameters()])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_parts_of_rate_zero_stay_as_they_are_and_have_no_gradient(optimizer):
    network = Half()
    before = copy.deepcopy(network.state_dict())
    learner = training.Learner.of(network, Train(optimizer=optimizer, pretrained_rate=0.0), torch.device("cpu"))
    for _ in range(3):
        learner.step(torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1]), 0.1)
    for name, parameter in network.named_parameters():
        frozen = name.startswith(("body.", "lone"))
        assert torch.equal(parameter, before[name]) == frozen, name
        assert (parameter.grad is None) == frozen, name


def test_two_steps_of_sgd_are_those_worked_by_hand():
    """Buffer: 0.9 of the old one and the gradient with weight decay; step: rate times buffer."""
    settings = Train(optimizer="sgd", momentum=0.9, weight_decay=0.1, clip=1e9, pretrained_rate=0.5, new_rate=2.0)
    torch.manual_seed(0)
    network = Half().double()
    slow = copy.deepcopy(network)
    learner = training.Learner.of(network, settings, torch.device("cpu"))
    buffers = {name: torch.zeros_like(parameter) for name, parameter in slow.named_parameters()}
    inputs, labels = torch.randn(6, 3).double(), torch.tensor([0, 1, 0, 0, 1, 1])
    for rate in (0.1, 0.03):
        learner.step(inputs, labels, rate)
        slow.zero_grad()
        nn.functional.cross_entropy(slow(inputs), labels).backward()
        for name, parameter in slow.named_parameters():
            buffers[name] = 0.9 * buffers[name] + parameter.grad + 0.1 * parameter.detach()
            factor = 0.5 if name.startswith(("body.", "lone")) else 2.0
            parameter.data -= rate * factor * buffers[name]
    for name, parameter in slow.named_parameters():
        torch.testing.assert_close(network.get_parameter(name), parameter, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("train.optimizer=adam", "train.optimizer must be adamw or sgd; got adam"),
        ("train.schedule=step", "train.schedule must be .*triangular; got step"),
        ("train.keep_checkpoints=every:0", "best, last, or every:K with K at least 1; got every:0"),
        ("train.precision=float64", "train.precision must be .*; got float64"),
        ("train.new_rate=0", "train.new_rate must be above 0"),
    ],
)
def test_settings_that_are_none_are_refused(key, message):
    with pytest.raises(ConfigError, match=message):
        config.load(config.find("digits_mlp"), [key])
