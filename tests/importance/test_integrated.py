"""Integrated G-NDI: equal to its definition by explicit Jacobians, and in the limit to exact ablation."""

import numpy as np
import pytest
import torch
from torch import nn

from ndg.errors import LayerError
from ndg.importance.score import score
from ndg.importance.settings import ScoreSettings
from ndg.options import RunOptions
from tests.importance.test_activations import Words
from tests.importance.test_gndi import Halves, convolutional, dense
from tests.references import importance_cheap as reference

BATCH_4 = RunOptions(batch=4)


def inputs_of(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(5, *shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("make", "shape"), [(dense, (5,)), (convolutional, (1, 6, 6))])
def test_it_is_the_norm_of_the_integral_of_explicit_jacobians(make, shape):
    model, inputs = make(), inputs_of(shape)
    found = score(model, [inputs], "encoder", "integrated", settings=ScoreSettings(n_steps=3), options=BATCH_4)[
        "encoder"
    ]
    np.testing.assert_allclose(found, reference.integrated(model.encoder, model.head, inputs, 3), rtol=1e-4)


@pytest.mark.parametrize("baseline", ["zero", "mean", "resample"])
def test_with_many_steps_it_is_exact_ablation(baseline):
    model, inputs = dense().double(), inputs_of((5,)).double()
    damage = score(model, [inputs], "encoder", "ablation", settings=ScoreSettings(baselines=baseline), options=BATCH_4)
    found = score(model, [inputs], "encoder", "integrated", settings=ScoreSettings(n_steps=64, baselines=baseline))
    np.testing.assert_allclose(found["encoder"], damage["encoder"], rtol=1e-4)
    assert found.whole["encoder"] == pytest.approx(damage.whole["encoder"], rel=1e-3)
    assert found.facts["completeness"][0]["relative"] < 1e-4


def test_its_error_falls_with_the_square_of_the_steps_where_the_network_is_smooth():
    model, inputs = dense().double(), inputs_of((5,)).double()
    coarse, fine = (
        score(model, [inputs], "encoder", "integrated", settings=ScoreSettings(n_steps=n), options=BATCH_4).facts[
            "completeness"
        ][0]
        for n in (8, 16)
    )
    assert coarse["relative"] / fine["relative"] == pytest.approx(4, rel=0.1)
    assert coarse["max"] >= coarse["mean"] > 0


def test_one_step_is_ablation_where_the_rest_is_linear():
    torch.manual_seed(1)
    model = Halves(nn.Sequential(nn.Linear(5, 6), nn.ReLU()), nn.Linear(6, 4))
    inputs = inputs_of((5,))
    damage = score(model, [inputs], "encoder", "ablation", options=BATCH_4)["encoder"]
    found = score(model, [inputs], "encoder", "integrated", settings=ScoreSettings(n_steps=1), options=BATCH_4)[
        "encoder"
    ]
    np.testing.assert_allclose(found, damage, rtol=1e-5, atol=1e-7)


def test_a_kink_costs_no_more_than_a_step():
    # F = 3 relu(h - 1) at h = 4: ablation 9; of n midpoints those above 1 / 4 of the way count 12 / n each
    model = Halves(nn.Sequential(nn.Identity()), nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1, bias=False)))
    model.head[0].weight.data.fill_(1.0)
    model.head[0].bias.data.fill_(-1.0)
    model.head[2].weight.data.fill_(3.0)
    inputs = torch.full((2, 1), 4.0)
    for steps in (1, 2, 3, 5, 10, 100):
        above = sum((step + 0.5) / steps * 4 > 1 for step in range(steps))
        found = score(model, [inputs], "encoder", "integrated", settings=ScoreSettings(n_steps=steps))["encoder"][0]
        assert found == pytest.approx(12 * above / steps)
        assert abs(found - 9) <= 12 / steps


def test_passes_are_counted_and_a_target_takes_one_backward_pass():
    model, inputs = dense(), inputs_of((5,))
    found = score(model, [inputs], "encoder", "integrated", settings=ScoreSettings(n_steps=3), options=BATCH_4).facts
    # 4 + 1 examples of 6 units, 4 rows a pass: 6 + 2 passes; one more for the whole layer, in each of 2 batches
    assert (found["forward_passes"], found["backward_passes"]) == (3 * (8 + 2) + 8, 3 * 3 * (8 + 2))
    one = score(
        model, [inputs], "encoder", "integrated", target=2, settings=ScoreSettings(n_steps=3), options=BATCH_4
    ).facts
    assert one["backward_passes"] == 3 * (8 + 2)


def test_residual_networks_tuples_and_modules_that_work_in_place():
    class Pair(nn.Module):
        def forward(self, x):
            return 2 * x, "beside"

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.pair, self.act = nn.Linear(4, 4), Pair(), nn.ReLU(inplace=True)
            self.out = nn.Linear(4, 3)

        def forward(self, x):
            x = self.first(x)
            return self.out(self.act(self.pair(x)[0]) + x)

    torch.manual_seed(0)
    model, inputs = Model(), torch.randn(6, 4)
    layers = ["first", "pair", "act"]
    found = score(model, [inputs], layers, "integrated", settings=ScoreSettings(n_steps=50))
    damage = score(model, [inputs], layers, "ablation", options=BATCH_4)
    for layer in layers:
        np.testing.assert_allclose(found[layer], damage[layer], rtol=0.03, atol=1e-4)


def test_a_layer_without_a_gradient_path_is_refused():
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.out = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.out(self.first(x).detach().sign() + x)

    with pytest.raises(LayerError, match=r"gradient path to the logits; from 'first' there is none"):
        score(Cut(), [torch.randn(3, 4)], "first", "integrated", settings=ScoreSettings(n_steps=2))


def test_positions_go_their_way_as_they_are_ablated():
    torch.manual_seed(2)
    model = convolutional()
    inputs = inputs_of((1, 6, 6))[:2]
    damage = score(model, [inputs], "encoder", "ablation", settings=ScoreSettings(each_position=True))["encoder"]
    found = score(model, [inputs], "encoder", "integrated", settings=ScoreSettings(n_steps=8, each_position=True))[
        "encoder"
    ]
    assert damage.shape == (4 * 36,)
    np.testing.assert_allclose(found, damage, rtol=0.1, atol=1e-3)


def test_padded_tokens_go_no_way():
    torch.manual_seed(2)
    model, texts = Words(), torch.randn(3, 5, 2)
    columns = [{"inputs": texts, "attention_mask": (torch.arange(5) < torch.tensor([[2], [5], [3]])).long()}]
    damage = score(model, columns, "hidden", "ablation")
    found = score(
        model, columns, "hidden", "integrated", settings=ScoreSettings(n_steps=1)
    )  # what is behind it is linear
    np.testing.assert_allclose(found["hidden"], damage["hidden"], rtol=1e-5)


class Memory(nn.Module):
    """Attention over tokens, then a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.lstm, self.out = nn.LSTM(8, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.lstm(self.attention(x, x, x, need_weights=False)[0])[0][:, -1])


def test_heads_and_gates_go_their_way_to_ablation():
    torch.manual_seed(2)
    model, inputs = Memory().double(), torch.randn(3, 4, 8, dtype=torch.float64)
    layers = ["attention.heads", "lstm.gates"]
    damage = score(model, [inputs], layers, "ablation")
    found = score(model, [inputs], layers, "integrated", settings=ScoreSettings(n_steps=24))
    for layer, units in zip(layers, (2, 12), strict=True):
        assert found[layer].shape == (units,)
        np.testing.assert_allclose(found[layer], damage[layer], rtol=1e-3, atol=1e-7)
