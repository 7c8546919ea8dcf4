"""G-NDI in other norms, by random directions of many logits, and against given neutral states."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.functional import jacobian

from ndg.errors import ConfigError, LayerError, ShapeError
from ndg.importance.methods.gndi import shrink
from ndg.importance.score import score
from ndg.importance.settings import ScoreSettings
from ndg.options import RunOptions


def network(logits: int = 3, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, logits))


def effects(model: nn.Sequential, inputs: torch.Tensor, rest: torch.Tensor | float = 0.0) -> torch.Tensor:
    """Effect of each unit of the first layer on each logit, `[example, logit, unit]`."""
    rows = []
    for x in inputs:
        h = model[:2](x).detach()
        rows.append(jacobian(model[2:], h).double() * (h - rest).double())
    return torch.stack(rows)


@pytest.mark.parametrize("norm", [1, 2, math.inf])
def test_every_norm_is_that_of_the_effects(norm):
    model, inputs = network(), torch.randn(11, 5)
    found = score(model, [inputs], "1", norm=norm, options=RunOptions(batch=4))
    expected = effects(model, inputs)
    np.testing.assert_allclose(found["1"], torch.linalg.vector_norm(expected, norm, dim=1).mean(0).numpy(), rtol=1e-5)
    whole = torch.linalg.vector_norm(expected.sum(dim=2), norm, dim=1).mean()
    assert found.whole["1"] == pytest.approx(float(whole), rel=1e-5)


def test_random_directions_estimate_the_norm_without_bias_and_know_their_error():
    model, inputs = network(logits=200), torch.randn(40, 5)
    exact = score(model, [inputs], ["1", "3"], projections=0)
    few = [score(model, [inputs], ["1", "3"], projections=4, options=RunOptions(seed=seed)) for seed in range(30)]
    for layer in ("1", "3"):
        values = np.array([one[layer] for one in few])
        errors = np.array([one.errors[layer] for one in few])
        apart = (values - exact[layer]) / errors
        assert abs(apart.mean()) < 4 / math.sqrt(30 * 6)  # units share directions: 30 draws of 6 or more
        assert 0.75 < apart.std() < 1.3
        assert all(one.whole[layer] == pytest.approx(exact.whole[layer], rel=1e-5) for one in few)
    default = score(model, [inputs], "1")
    assert default.facts["projections"] == 32
    np.testing.assert_allclose(default["1"], exact["1"], rtol=0.1)
    assert not exact.errors
    again = score(model, [inputs[:7], inputs[7:]], ["1", "3"], projections=4, options=RunOptions(seed=0))
    assert again.to_dict() == few[0].to_dict()


def test_the_shrinkage_is_the_mean_length_of_normal_numbers():
    normal = np.random.default_rng(0).standard_normal((200_000, 5))
    for draws in (1, 2, 5):
        assert shrink(draws) == pytest.approx(float(np.sqrt((normal[:, :draws] ** 2).mean(1)).mean()), abs=5e-3)


def test_neutral_states_may_be_given_as_number_per_unit_or_per_position():
    model, inputs = network(), torch.randn(9, 5)
    given = torch.linspace(-0.5, 0.5, 6)
    for baselines, rest in [(0.25, 0.25), (given, given), ({"1": given}, given)]:
        found = score(model, [inputs], "1", settings=ScoreSettings(baselines=baselines))
        expected = torch.linalg.vector_norm(effects(model, inputs, rest), dim=1).mean(0)
        np.testing.assert_allclose(found["1"], expected.numpy(), rtol=1e-5)
    torch.manual_seed(0)
    images = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 2))
    pictures = torch.randn(5, 1, 4, 4)
    flat = score(images, [pictures], "1", settings=ScoreSettings(baselines=torch.full((3,), 0.5)))
    np.testing.assert_allclose(
        score(images, [pictures], "1", settings=ScoreSettings(baselines=torch.full((3, 2, 2), 0.5)))["1"], flat["1"]
    )
    np.testing.assert_allclose(score(images, [pictures], "1", settings=ScoreSettings(baselines=0.5))["1"], flat["1"])
    for wrong in (torch.zeros(2), torch.zeros(3, 2), torch.zeros(3, 3, 2), torch.zeros(1, 3, 2, 2)):
        with pytest.raises(ShapeError, match=r"'1' has 3 units with 4 positions each, the baseline has shape"):
            score(images, [pictures], "1", settings=ScoreSettings(baselines=wrong))
    with pytest.raises(ConfigError, match="baselines are of scored layers; got '2'; there is: 1"):
        score(model, [inputs], "1", settings=ScoreSettings(baselines={"2": given}))


def test_every_position_by_itself_adds_up_where_the_norm_does():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4))
    inputs = torch.randn(6, 1, 4, 4)
    each = score(model, [inputs], "1", "gradient_x_activation", settings=ScoreSettings(each_position=True))["1"]
    assert each.shape == (12,)
    np.testing.assert_allclose(
        each.reshape(3, 4).sum(axis=1), score(model, [inputs], "1", "gradient_x_activation")["1"], rtol=1e-5
    )


def test_what_has_no_meaning_is_refused():
    model, inputs = network(), torch.randn(4, 5)
    with pytest.raises(ConfigError, match="the norm of G-NDI is 1, 2 or inf; got 3"):
        score(model, [inputs], "1", norm=3)
    with pytest.raises(ConfigError, match=r"projections estimate the 2-norm; got norm=1; .* or projections=0"):
        score(model, [inputs], "1", norm=1, projections=8)
    with pytest.raises(ConfigError, match="0 or more; got -1"):
        score(model, [inputs], "1", projections=-1)

    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.out = nn.Linear(5, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out((self.first(x).relu() * 0).sqrt())

    with pytest.raises(LayerError, match="gradients must be numbers; those at 'first' are NaN; look for a square root"):
        score(Root(), [inputs], "first")
