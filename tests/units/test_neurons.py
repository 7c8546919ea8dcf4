"""What is written into a layer lies where its units lie, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.errors import LayerError
from ndg.nodes import LayerUnits, NodeSpace
from ndg.units.layout import Layout
from ndg.units.neurons import Neurons, check_reading

SHAPES = {"units": (6, 5), "channels": (6, 5, 2, 3), "tokens": (6, 4, 5)}
CASES = [("units", "unit"), ("channels", "max"), ("channels", "mean"), ("tokens", "first"), ("tokens", "mean")]


def site(kind: str, reading: str) -> Neurons:
    return Neurons(Layout("layer", kind), reading, np.linspace(-0.4, 0.4, 5))


def unit_axis(kind: str) -> int:
    return 2 if kind == "tokens" else 1


@pytest.mark.parametrize(("kind", "reading"), CASES)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_the_chosen_units_are_written_and_the_others_stay(kind, reading, seed):
    made = torch.Generator().manual_seed(seed)
    output, values = torch.randn(SHAPES[kind], generator=made), torch.randn(SHAPES[kind], generator=made)
    chosen = torch.rand(6, 5, generator=made) < 0.5
    mask = None
    if kind == "tokens":
        mask = torch.rand(6, 4, generator=made) < 0.5
        mask[:, 3] = True
    written = site(kind, reading).write(output, chosen, values, mask)
    axis = unit_axis(kind)
    for row in range(6):
        for unit in range(5):
            before, after, wanted = (part.select(axis, unit)[row] for part in (output, written, values))
            if reading == "first":
                assert mask is not None
                first = int(np.flatnonzero(mask[row].numpy())[0])
                expected = before.clone()
                expected[first] = wanted[first] if chosen[row, unit] else before[first]
                assert torch.equal(after, expected)
            else:
                assert torch.equal(after, wanted if chosen[row, unit] else before)


@pytest.mark.parametrize(("kind", "reading"), CASES)
def test_nothing_chosen_changes_no_bit(kind, reading):
    output = torch.randn(SHAPES[kind])
    nothing = torch.zeros(6, 5, dtype=torch.bool)
    written = site(kind, reading).write(output, nothing, torch.full(SHAPES[kind], float("nan")))
    assert torch.equal(written, output)


def test_values_take_the_type_of_the_layer():
    output = torch.zeros(6, 5, dtype=torch.float64)
    written = site("units", "unit").write(output, torch.ones(6, 5, dtype=torch.bool), torch.ones(6, 5))
    assert written.dtype == torch.float64


def test_a_layer_in_which_every_token_is_an_example_has_no_sites():
    with pytest.raises(LayerError, match="tokens='first' or 'mean'"):
        check_reading(NodeSpace(2, (LayerUnits("act", 3, "every"),)), "act")
