"""An intervention sets what its mask names, for its own pass, and nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ndg.abstraction.intervention import Intervention
from ndg.activations.compute import fixed, forward
from ndg.errors import ShapeError


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Sigmoid(), nn.Linear(5, 2))


@given(seed=st.integers(0, 2**32), rows=st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_an_empty_mask_leaves_the_output_bit_identical(model, seed, rows):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(rows, 3, generator=generator)
    nothing = Intervention("1", torch.zeros(rows, 5, dtype=torch.bool), torch.randn(rows, 5, generator=generator))
    with fixed(model):
        assert torch.equal(nothing.logits(model, inputs), forward(model, inputs))


@given(seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_the_rest_of_the_network_sees_the_set_units_and_the_others_as_they_are(model, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(6, 3, generator=generator)
    mask, values = torch.rand(6, 5, generator=generator) < 0.5, torch.randn(6, 5, generator=generator)
    with fixed(model):
        expected = model[2](torch.where(mask, values, model[:2](inputs)))
        assert torch.equal(Intervention("1", mask, values).logits(model, inputs), expected)
        assert not model[1]._forward_hooks


def test_the_set_units_take_the_type_of_the_layer(model):
    half = Intervention("1", torch.ones(1, 5, dtype=torch.bool), torch.ones(1, 5))
    assert half(torch.zeros(1, 5, dtype=torch.float64)).dtype == torch.float64


def test_a_mask_of_another_shape_is_refused(model):
    other = Intervention("1", torch.ones(2, 4, dtype=torch.bool), torch.ones(2, 4))
    with (
        fixed(model),
        pytest.raises(ShapeError, match=r"of '1': expected \(2, 5\), got \(2, 4\); use the graph of this"),
    ):
        other.logits(model, torch.zeros(2, 3))
