"""FLOPs against counts by hand, spectra against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ndg.activations.batches import Batch
from ndg.efficiency.costs import flops
from ndg.efficiency.spectra import spectrum


def of(model: nn.Module, inputs: Tensor):
    return flops(model, Batch(0, len(inputs), inputs, None))


def test_linear_layers_and_convolutions():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 25, 7))
    counted = of(model, torch.rand(4, 3, 5, 5))
    assert counted.by_layer["0"] == 2 * 8 * 3 * 9 * 25
    assert counted.by_layer["3"] == 2 * 8 * 25 * 7
    assert counted.whole == counted.by_layer["0"] + counted.by_layer["3"]


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3)])
def test_recurrent_layers(kind, gates):
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = kind(6, 5, batch_first=True)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.rnn(inputs)[0][:, -1]

    assert of(Last(), torch.rand(3, 4, 6)).by_layer["rnn"] == 2 * gates * 5 * (6 + 5) * 4


def test_attention():
    tokens, width, heads = 6, 8, 2
    layer = nn.TransformerEncoderLayer(width, heads, 16, batch_first=True).eval()
    counted = of(nn.Sequential(layer), torch.rand(3, tokens, width))
    projections, products = 2 * tokens * width * 4 * width, 2 * 2 * tokens * tokens * width
    assert counted.by_layer["0.self_attn"] == projections + products
    assert counted.by_layer["0.linear1"] == 2 * tokens * width * 16
    assert counted.whole == projections + products + 2 * 2 * tokens * width * 16


def test_equal_variances_fill_all_directions():
    of_equal = spectrum(np.eye(50) * 3)
    assert of_equal.k99 == 50
    assert of_equal.effective_rank == pytest.approx(50)
    assert of_equal.participation == pytest.approx(50)


def test_one_direction_is_of_dimension_one():
    direction = np.arange(1.0, 7)
    single = spectrum(np.outer(direction, direction))
    assert single.k99 == 1
    assert single.effective_rank == pytest.approx(1, abs=1e-6)
    assert single.participation == pytest.approx(1)


def test_a_spectrum_worked_by_hand():
    """Shares .98, .0150, .0050: two directions hold 99 %."""
    values = spectrum(np.diag([98.0, 1.5, 0.5]))
    assert values.k99 == 2
    shares = np.array([0.98, 0.015, 0.005])
    assert values.effective_rank == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert values.participation == pytest.approx(1 / (shares**2).sum())
    assert spectrum(np.diag([98.0, 1.5, 0.5]) * 1e-9) == values


def test_constant_activations_have_no_dimension():
    assert spectrum(np.zeros((4, 4))) == spectrum(np.zeros((2, 2)))
    assert spectrum(np.zeros((4, 4))).k99 == 0
