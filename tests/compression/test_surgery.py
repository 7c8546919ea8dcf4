"""Smaller networks equal the masked original; dead units leave no trace; FLOPs equal what is counted."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg.activations.batches import forward
from ndg.compression.curves import coupling
from ndg.compression.flops import flops_without, module_flops
from ndg.compression.groups import couple
from ndg.compression.plain import with_plain_layers
from ndg.compression.surgery import masked, rest, smaller, without
from ndg.config import Bert, DistilBert
from ndg.errors import FailureError
from ndg.models import build
from tests.compression.networks import NETWORKS, TOKENS, network, texts


def cut(model, inputs, seed=0):
    """A plain copy of the network, its groups, and about half of each group's units."""
    plain = with_plain_layers(model)
    groups = couple(plain, inputs).groups
    rng = np.random.default_rng(seed)
    kept = {name: np.sort(rng.choice(group.units, group.units // 2, replace=False)) for name, group in groups.items()}
    return plain, groups, kept


@pytest.mark.parametrize("name", NETWORKS)
def test_a_smaller_network_equals_the_masked_original(name):
    model, inputs = network(name)
    plain, groups, kept = cut(model, inputs)
    with torch.no_grad():
        torch.testing.assert_close(forward(plain, inputs), forward(model, inputs), rtol=1e-5, atol=1e-5)
        small, expected = (
            forward(smaller(plain, groups, kept, inputs), inputs),
            forward(masked(plain, groups, kept), inputs),
        )
    torch.testing.assert_close(small, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(expected, forward(model, inputs), atol=1e-3)


@pytest.mark.parametrize("kind", [Bert, DistilBert])
def test_heads_and_dense_parts_of_bert(kind):
    model, inputs = build(kind(width=16, depth=2, heads=4, mlp=24), TOKENS, 3, 0), texts()
    plain, groups, kept = cut(model, inputs)
    assert [group.kind for group in groups.values()].count("head") == 2
    with torch.no_grad():
        small, expected = (
            forward(smaller(plain, groups, kept, inputs), inputs),
            forward(masked(plain, groups, kept), inputs),
        )
    torch.testing.assert_close(small, expected, rtol=1e-5, atol=1e-5)


def test_sizes_of_the_smaller_modules():
    model, inputs = network("resnet")
    plain, groups, kept = cut(model, inputs)
    block = without(plain, groups, rest(groups, kept))[0].stages[1][0]
    assert (block.conv1.out_channels, block.norm1.num_features, block.conv2.in_channels) == (8, 8, 8)
    assert block.conv2.out_channels == 16


def test_units_that_are_off_leave_the_outputs_as_they_were():
    model, inputs = network("cnn")
    with torch.no_grad():
        model.encoder.fc1.weight[3:9] = 0
        model.encoder.fc1.bias[3:9] = -1
        model.encoder.conv1.weight[2] = 0
        model.encoder.conv1.bias[2] = -1
    groups = coupling(model, [inputs]).select(["encoder.fc1", "encoder.conv1"])
    kept = {"encoder.conv1": np.array([0, 1, 3, 4, 5]), "encoder.fc1": np.setdiff1d(np.arange(16), np.arange(3, 9))}
    with torch.no_grad():
        small = smaller(model, groups, kept, inputs)
        torch.testing.assert_close(small(inputs), model(inputs), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_flops_of_the_smaller_network_are_those_that_are_counted(name):
    model, inputs = network(name)
    plain, groups, kept = cut(model, inputs)
    gone = {name: group.units - len(kept[name]) for name, group in groups.items()}
    counted = sum(module_flops(without(plain, groups, rest(groups, kept))[0], inputs).values())
    assert flops_without(plain, module_flops(plain, inputs), groups, gone) == pytest.approx(counted, rel=1e-9)


def test_flops_of_a_dense_layer_by_hand():
    assert module_flops(nn.Linear(6, 5), torch.rand(4, 6)) == {"": 60}


class Fixed(nn.Module):
    """A width that is written into the forward."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, inputs):
        return self.second(functional.relu(self.first(inputs)).view(-1, 8))


def test_a_network_whose_forward_holds_a_width_is_refused():
    model, inputs = Fixed().eval(), torch.rand(4, 6)
    groups = coupling(model, [inputs]).groups
    with pytest.raises(FailureError, match="holds widths or numbers of heads as constants"):
        smaller(model, groups, {"first": np.arange(4)}, inputs)


@pytest.mark.parametrize("masks", [{}, {"key_padding_mask": torch.tensor([[False] * 5 + [True] * 2] * 4)}])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_plain_attention_equals_that_of_torch(masks, need_weights, batch_first):
    torch.manual_seed(0)
    original = nn.MultiheadAttention(16, 4, batch_first=batch_first).eval()
    plain = with_plain_layers(original)
    tokens = torch.randn(4, 7, 16) if batch_first else torch.randn(7, 4, 16)
    for mask in (None, torch.randn(7, 7), torch.ones(7, 7, dtype=torch.bool).triu(1)):
        arguments = {"attn_mask": mask, "need_weights": need_weights, **masks}
        expected, weights = original(tokens, tokens, tokens, **arguments)
        output, own = plain(tokens, tokens, tokens, **arguments)
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
        assert (own is None) == (weights is None)
        if own is not None:
            torch.testing.assert_close(own, weights, rtol=1e-4, atol=1e-5)
