"""Fused optimisers: the steps of torch.optim, the state of a training, hooks."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from torch import nn

from ndg import training
from ndg.config import Train
from ndg.training.optimizers import SGD, AdamW
from tests.training.small import digits, experiment

CPU = torch.device("cpu")


def network(seed: int = 0) -> nn.Sequential:
    """Layers of two types of numbers; the third parameter never has a gradient."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 4).double(), nn.Linear(4, 2))


def give_gradients(model: nn.Module, number: int, skipped: int) -> None:
    torch.manual_seed(number)
    for index, parameter in enumerate(model.parameters()):
        parameter.grad = None if index == skipped else torch.randn_like(parameter)


def groups(model: nn.Sequential) -> list[dict]:
    return [{"params": [*model[:2].parameters()]}, {"params": [*model[2].parameters()]}]


def fused(name: str, model: nn.Sequential, momentum: float = 0.9):
    """An optimiser of two groups."""
    return SGD(groups(model), momentum, 0.1) if name == "sgd" else AdamW(groups(model), 0.1)


def of_torch(name: str, model: nn.Sequential, momentum: float):
    if name == "sgd":
        return torch.optim.SGD(groups(model), 1.0, momentum, weight_decay=0.1, fused=True)
    return torch.optim.AdamW(groups(model), 1.0, weight_decay=0.1, fused=True)


@pytest.mark.parametrize(("name", "momentum"), [("adamw", 0.9), ("sgd", 0.9), ("sgd", 0.0)])
def test_steps_are_those_of_torch_to_the_last_bit(name, momentum):
    model = network()
    other = copy.deepcopy(model)
    ours, theirs = fused(name, model, momentum), of_torch(name, other, momentum)
    for number in range(5):
        for optimizer in (ours, theirs):
            for group, rate in zip(optimizer.param_groups, (0.1, 0.03 * number), strict=True):
                group["lr"] = rate
        for each in (model, other):
            give_gradients(each, number, skipped=2)
        ours.step()
        theirs.step()
        for parameter, expected in zip(model.parameters(), other.parameters(), strict=True):
            assert torch.equal(parameter, expected), number
    kept = theirs.state_dict()["state"] if momentum else {}
    state = ours.state_dict()["state"]
    assert state.keys() == kept.keys()
    for index, slots in state.items():
        assert slots.keys() == kept[index].keys()
        assert all(torch.equal(value, kept[index][slot]) for slot, value in slots.items())


def test_momentum_of_a_parameter_begins_with_its_first_gradient():
    model = network()
    sgd, first = fused("sgd", model), [parameter.detach().clone() for parameter in model.parameters()]
    sgd.param_groups[0]["lr"] = 0.1
    for skipped in (2, 99):
        give_gradients(model, 0, skipped)
        sgd.step()
    late, gradient = [*model.parameters()][2], [*model.parameters()][2].grad
    torch.testing.assert_close(late.detach(), first[2] - 0.1 * (gradient + 0.1 * first[2]))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_loaded_state_goes_on_alike(name):
    model = network()
    ours = fused(name, model)
    for number in range(2):
        give_gradients(model, number, 2)
        ours.step()
    other = copy.deepcopy(model)
    again = fused(name, other)
    again.load_state_dict(copy.deepcopy(ours.state_dict()))
    for optimizer, each in ((ours, model), (again, other)):
        optimizer.param_groups[0]["lr"] = 0.1
        give_gradients(each, 7, 2)
        optimizer.step()
        optimizer.zero_grad()
        assert all(parameter.grad is None for parameter in each.parameters())
    assert all(torch.equal(one, same) for one, same in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        ({"step": torch.ones(()), "exp_avg": torch.ones(5, 3)}, "parameter 0 has step, exp_avg, exp_avg_sq; got step"),
        ({"momentum_buffer": torch.ones(5, 3)}, "got momentum_buffer"),
        (
            {"step": torch.ones(()), "exp_avg": torch.ones(5, 2), "exp_avg_sq": torch.ones(5, 3)},
            r"exp_avg of parameter 0 has another shape, \(5, 2\)",
        ),
    ],
)
def test_the_state_of_another_training_is_refused_and_changes_nothing(slots, message):
    model = network()
    ours = fused("adamw", model)
    give_gradients(model, 0, 2)
    ours.step()
    before = copy.deepcopy(ours.state_dict())
    with pytest.raises(ValueError, match=message):
        ours.load_state_dict({"state": {0: slots}})
    with pytest.raises(ValueError, match="parameter 9"):
        ours.load_state_dict({"state": {9: before["state"][0]}})
    assert before["state"].keys() == ours.state_dict()["state"].keys()


def test_functions_are_called_after_each_step():
    ours = fused("sgd", network())
    calls: list[int] = []
    ours.after_step.append(lambda: calls.append(1))
    ours.step()
    ours.step()
    assert calls == [1, 1]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_training_does_not_import_the_compiler_of_torch(optimizer, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # an import of it fails
    with pytest.raises(ImportError):
        torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1).step()
    training.train(experiment(epochs=1, optimizer=optimizer), digits(), tmp_path)
    learner = training.Learner.of(nn.Linear(2, 2), Train(optimizer=optimizer), CPU)
    learner.step(torch.ones(3, 2), torch.tensor([0, 1, 1]), 0.1)
