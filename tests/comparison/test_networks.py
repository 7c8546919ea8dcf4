"""A network re-initialised: nothing learned is left, and nothing else is touched."""

import numpy as np
import pytest
import torch
from torch import nn

from ndg import models
from ndg.activations.batches import fixed, forward
from ndg.comparison.sources import reinitialised
from tests.comparison.cases import network
from tests.models.test_networks import FORMS, SMALL, examples


class Own(nn.Module):
    """Parameters that no module draws: a vector, a constant and a single number; and a batch norm."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.arange(12.0).reshape(3, 4))
        self.zeros = nn.Parameter(torch.zeros(4))
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.norm = nn.BatchNorm1d(4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.dense = nn.Linear(4, 2)

    def forward(self, x):
        return self.dense(self.norm(x + self.token.sum(0) * self.scale + self.zeros))


def test_a_copy_has_other_parameters_and_the_network_keeps_its_own():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fresh = reinitialised(model, 0)
    assert fresh.model is not model
    assert all((model.state_dict()[name] == value).all() for name, value in before.items())
    assert not any((fresh.model.state_dict()[name] == value).all() for name, value in before.items())
    assert set(fresh.drawn) == set(before)
    assert fresh.permuted == ()
    for name, value in fresh.model.state_dict().items():
        assert value.abs().max() <= 1 / np.sqrt(model.get_parameter(name.replace("bias", "weight")).shape[1])


def test_a_seed_gives_one_copy_whatever_the_caller_draws():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = reinitialised(network(), 7).model.state_dict()
    assert (torch.get_rng_state() == before).all()
    torch.rand(5)
    again, other = reinitialised(network(3), 7).model.state_dict(), reinitialised(network(), 8).model.state_dict()
    assert all((again[name] == value).all() for name, value in first.items())
    assert not any((other[name] == value).all() for name, value in first.items())


def test_what_no_module_draws_is_permuted_and_named():
    model = Own()
    model.norm.running_mean.fill_(5)
    fresh = reinitialised(model, 0)
    assert fresh.permuted == ("token",)
    assert (fresh.model.token != model.token).any()
    assert sorted(fresh.model.token.flatten().tolist()) == list(range(12))
    assert (fresh.model.norm.running_mean == 0).all()
    assert (fresh.model.attention.in_proj_weight != model.attention.in_proj_weight).all()
    assert (fresh.model.attention.out_proj.bias == 0).all()
    assert fresh.to_dict() == {"seed": 0, "drawn": len(fresh.drawn), "permuted": ["token"]}
    assert len(fresh.drawn) + 1 == len(list(model.parameters()))


def test_a_reset_that_leaves_a_parameter_is_not_taken_for_one():
    class Lazy(nn.Linear):
        def reset_parameters(self):
            nn.init.zeros_(self.bias)

    model = Lazy(3, 4)
    with torch.no_grad():
        model.weight.copy_(torch.arange(12.0).reshape(4, 3))
        model.bias.fill_(1)
    fresh = reinitialised(model, 0)
    assert fresh.permuted == ("weight",)
    assert fresh.drawn == ("bias",)
    assert (fresh.model.weight != model.weight).any()


@pytest.mark.parametrize("name", SMALL)
def test_every_registered_network_forgets_what_it_was(name):
    form = FORMS[name][0]
    model = models.build(SMALL[name], form, 4, seed=7)
    fresh = reinitialised(model, 0)
    before, after = dict(model.named_parameters()), dict(fresh.model.named_parameters())
    varying = [key for key, value in before.items() if value.numel() > 1 and value.std() > 0]
    assert varying
    assert not any(torch.equal(before[key], after[key]) for key in varying)
    assert {*fresh.drawn, *fresh.permuted} == set(before)
    assert fresh.model.latent_layer == model.latent_layer
    with fixed(fresh.model):
        logits = forward(fresh.model, examples(form))
    assert logits.shape == (5, 4)
    assert torch.isfinite(logits).all()
