"""Factorial effects: against enumeration, against the definition, and without common causes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency
from torch import nn

import ndg
from ndg.bits.matrix import BitMatrix
from ndg.causal import effects, recombine
from ndg.errors import ConfigError, ShapeError
from ndg.nodes import LayerUnits, NodeSpace

UNITS = 10


class Gates(nn.Module):
    """Booleans of the input as latents, then units that read them, then three classes."""

    def __init__(self, units=UNITS, hidden=8):
        super().__init__()
        torch.manual_seed(0)
        self.latent = nn.Sigmoid()
        self.fc, self.out = nn.Linear(units, hidden), nn.Linear(hidden, 3)

    def forward(self, x):
        return self.out(torch.relu(self.fc(self.latent(x))))


def every_setting():
    """All settings of the latents, 0 or 1 but for rounding, in equal numbers."""
    bits = np.array(list(product([False, True], repeat=UNITS)))
    return bits, torch.from_numpy(np.where(bits, 30.0, -30.0)).float()


def test_effects_equal_exhaustive_enumeration():
    """Of all settings of ten units, each once: the exact main effects."""
    model = Gates().eval()
    bits, x = every_setting()
    loader = [(x, torch.zeros(len(x), dtype=torch.long))]
    every = ndg.extract(model, loader, ["latent", "fc"])
    values = every.to_bool()
    later = np.hstack([values[:, :3], values[:, 3 + UNITS :]])
    expected = np.array([later[bits[:, unit]].mean(0) - later[~bits[:, unit]].mean(0) for unit in range(UNITS)])
    np.testing.assert_allclose(effects(every).effect, expected, atol=1e-12)
    hybrids = recombine(model, loader, "latent", "independent", 20_000, like=every)
    found = effects(hybrids, observed=every)
    assert np.abs(found.effect - expected).max() < 0.04
    np.testing.assert_allclose(found.observed, expected, atol=1e-12)


def test_p_values_are_those_of_the_chi_squared_test():
    generator = np.random.default_rng(0)
    values = generator.random((400, 6)) < 0.4
    values[:, 5] |= values[:, 2]
    nodes = NodeSpace(1, (LayerUnits("a", 3), LayerUnits("b", 2)))
    found = effects(BitMatrix.from_bool(values, nodes))
    assert found.later == ("label:0", "b:0", "b:1")
    for unit in range(3):
        for place, node in enumerate((0, 4, 5)):
            table = [[np.sum((values[:, 1 + unit] == i) & (values[:, node] == j)) for j in (0, 1)] for i in (0, 1)]
            assert found.p_values[unit, place] == pytest.approx(chi2_contingency(table, correction=False).pvalue)
    assert found.significant()[1, 2]
    ordered = np.sort(found.p_values.reshape(-1))
    assert found.q_values.min() == pytest.approx(min(ordered * 9 / np.arange(1, 10)))
    assert found.rows()[0]["unit"] == "a:1"
    assert found.rows()[0]["node"] == "b:1"
    assert len(found.rows(2)) == 2


def test_units_that_never_vary_have_no_effect_and_no_test():
    values = np.random.default_rng(1).random((100, 4)) < 0.5
    values[:, 1] = True
    found = effects(BitMatrix.from_bool(values, NodeSpace(1, (LayerUnits("a", 2), LayerUnits("b", 1)))))
    assert np.isnan(found.effect[0]).all()
    assert np.isnan(found.q_values[0]).all()
    assert not np.isnan(found.effect[1]).any()
    assert {row["unit"] for row in found.rows()} == {"a:1"}


def test_a_common_cause_makes_a_difference_but_no_effect():
    """Two units follow one input; the later unit reads the second alone."""
    model = Gates(2, 1).eval()
    with torch.no_grad():
        model.fc.weight.copy_(torch.tensor([[0.0, 10.0]]))
        model.fc.bias.fill_(-5.0)
    generator = np.random.default_rng(2)
    cause = generator.random(2000) < 0.5
    follows = np.where(generator.random((2000, 2)) < 0.02, ~cause[:, None], cause[:, None])
    x = torch.from_numpy(np.where(follows, 30.0, -30.0)).float()
    loader = [(x, torch.zeros(len(x), dtype=torch.long))]
    plain = ndg.extract(model, loader, ["latent", "fc"])
    found = effects(recombine(model, loader, "latent", "independent", 5000, like=plain), observed=plain)
    place = found.later.index("fc:0")
    assert found.observed[0, place] > 0.9
    assert abs(found.effect[0, place]) < 0.05
    assert found.effect[1, place] == 1
    assert "n = 5,000 independent hybrids" in found.words()


def test_what_has_no_effects_is_named():
    values = np.random.default_rng(1).random((100, 4)) < 0.5
    bits = BitMatrix.from_bool(values, NodeSpace(1, (LayerUnits("a", 2), LayerUnits("b", 1))))
    with pytest.raises(ConfigError, match="layer of the hybrids, a, b; got 'c'"):
        effects(bits, "c")
    other = BitMatrix.from_bool(values, NodeSpace(1, (LayerUnits("a", 3),)))
    with pytest.raises(ShapeError, match="like=hybrids"):
        effects(bits, observed=other)
