"""Every registered binarizer: one threshold per unit, permuted with the units, the same for the same examples."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ndg.activations.binarize import BINARIZERS, Reservoir, binarize, choose
from ndg.errors import ConfigError
from ndg.testing import BINARIZER_CHECKS


@pytest.mark.parametrize("name", BINARIZERS)
@pytest.mark.parametrize("check", BINARIZER_CHECKS)
def test_a_binarizer_keeps_the_laws(name, check):
    BINARIZER_CHECKS[check](BINARIZERS[name])


@pytest.mark.parametrize(("name", "share"), [("median", 0.5), ("quantile", 0.7)])
def test_a_quantile_leaves_its_share_of_the_examples_above(name, share):
    activations = np.random.default_rng(0).normal(size=(101, 6)).astype(np.float32)
    thresholds = BINARIZERS[name].fit(activations, 0.3)
    assert (activations > thresholds).mean(axis=0) == pytest.approx(share, abs=0.02)


def test_auto_is_half_after_a_sigmoid_and_positive_elsewhere():
    assert choose("auto", nn.Sigmoid()) == "half"
    assert choose("auto", nn.Linear(1, 1)) == choose("auto", nn.ReLU()) == "positive"
    assert choose("median", nn.Sigmoid()) == "median"
    with pytest.raises(ConfigError, match=r"known binarizer; got 'medain'; nearest: median"):
        choose("medain", nn.ReLU())


def test_a_neuron_at_its_threshold_is_off_and_float32_is_compared_exactly():
    tenth = torch.tensor([0.1], dtype=torch.float64)
    above = torch.tensor([[0.1]], dtype=torch.float32)  # the float32 nearest to 0.1 lies above it
    assert binarize(above, tenth).item()
    assert not binarize(above, above[0].double()).item()


@given(st.integers(1, 60), st.integers(1, 30), st.lists(st.integers(0, 60), max_size=4))
def test_a_reservoir_holds_the_same_examples_whatever_the_batches(n, size, cuts):
    rows = np.arange(n, dtype=np.float32)[:, None]
    whole, parts = Reservoir(size, 0), Reservoir(size, 0)
    whole.add(rows, 0)
    cuts = sorted({min(cut, n) for cut in cuts})
    for part, start in zip(np.split(rows, cuts), [0, *cuts], strict=True):
        parts.add(part, start)
    assert len(whole.rows) == min(n, size)
    assert sorted(whole.rows[:, 0]) == sorted(parts.rows[:, 0])


def test_a_reservoir_is_a_uniform_sample():
    times = np.zeros(20)
    for seed in range(2000):
        reservoir = Reservoir(5, seed)
        reservoir.add(np.arange(20.0)[:, None], 0)
        times[reservoir.rows[:, 0].astype(int)] += 1
    assert abs(times / 2000 - 0.25).max() < 0.05
