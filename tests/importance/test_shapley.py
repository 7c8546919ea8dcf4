"""Shapley values: those of all coalitions, additive to the whole layer, and the same wherever they run."""

import numpy as np
import pytest
import torch
from torch import nn

from ndg.errors import ConfigError, DataError
from ndg.importance import score as faces
from ndg.importance.methods.shapley import METHOD, PAYOFFS
from ndg.importance.settings import ScoreSettings
from ndg.options import RunOptions
from tests.references import shapley as reference

UNITS = 10


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(faces.IMPORTANCE, "shapley", METHOD)


class Halves(nn.Module):
    def __init__(self, units: int = UNITS, between: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.encoder = nn.Sequential(nn.Linear(5, units), between())
        self.head = nn.Sequential(nn.Linear(units, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x))


def examples(n: int) -> torch.Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(7))


def score(model: nn.Module, loader: list, layers="encoder", baselines="zero", batch=16, **how):
    """Scores by `shapley`; `how` are fields of RunOptions, and options of the method."""
    options = RunOptions(
        batch=batch, **{name: how.pop(name) for name in ("seed", "journal", "executor") if name in how}
    )
    settings = ScoreSettings(baselines=baselines)
    return faces.score(model, loader, layers, "shapley", settings=settings, options=options, **how)


@pytest.fixture(scope="module")
def truth():
    """A network of 10 units, inputs, and the exact values of every example."""
    model, inputs = Halves(between=nn.Tanh).double(), examples(3).double()
    return model, inputs, reference.exact(model.encoder, model.head, inputs, model(inputs).argmax(1).tolist())


def test_many_orders_come_to_the_exact_values_of_ten_units(truth):
    model, inputs, exact = truth
    scores = score(model, [inputs], permutations=256)
    assert (np.abs(scores["encoder"] - exact.mean(0)) <= 4 * scores.errors["encoder"] + 1e-12).all()
    assert scores.errors["encoder"].max() < 0.04 * np.abs(exact).max()


def test_standard_errors_are_the_spread_over_seeds(truth):
    model, inputs, exact = truth
    drawn = [score(model, [inputs], permutations=8, seed=seed) for seed in range(30)]
    values = np.array([one["encoder"] for one in drawn])
    errors = np.sqrt(np.mean([one.errors["encoder"] ** 2 for one in drawn], axis=0))
    np.testing.assert_allclose(values.std(axis=0, ddof=1), errors, rtol=0.5)
    assert (np.abs(values.mean(0) - exact.mean(0)) < 4 * errors / 30**0.5).all()


@pytest.mark.parametrize("payoff", PAYOFFS)
@pytest.mark.parametrize("baselines", ["zero", "mean", "resample", 0.3])
def test_they_add_up_to_what_the_whole_layer_is_worth(payoff, baselines):
    model, inputs = Halves(), examples(21)
    loader = [(inputs, torch.arange(21) % 3)]
    found = score(model, loader, ["encoder", "encoder.0"], permutations=4, payoff=payoff, baselines=baselines)
    for layer in found.layers:
        assert found[layer].sum() == pytest.approx(found.whole[layer], abs=1e-12)
    if payoff != "logit":
        whole = faces.score(
            model,
            loader,
            found.layers,
            "ablation",
            measure=payoff,
            settings=ScoreSettings(baselines=baselines),
            options=RunOptions(batch=16),
        ).whole
        assert found.whole == pytest.approx(whole, rel=1e-5, abs=1e-6)


def test_the_two_ends_are_all_units_and_none():
    model, inputs = Halves(), examples(9)
    logits = model(inputs)
    without = model.head(torch.zeros(1, UNITS))[0]
    found = score(model, [inputs], permutations=4, target=2)
    assert found.whole["encoder"] == pytest.approx((logits[:, 2] - without[2]).mean().item(), rel=1e-5)
    assert (found.target, found.measure, found.facts["permutations"]) == (2, "logits", 4)
    best = score(model, [inputs], permutations=4)
    values, classes = logits.max(dim=1)
    assert best.whole["encoder"] == pytest.approx((values - without[classes]).mean().item(), rel=1e-5)
    assert best.target == "predicted class"


def test_where_units_do_not_meet_every_order_gives_the_same():
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    found = score(model, [examples(8)], "1", permutations=4, target=1)
    hidden = model[1](model[0](examples(8)))
    expected = (hidden * model[2].weight[1]).mean(0).detach().numpy()
    np.testing.assert_allclose(found["1"], expected, rtol=1e-4, atol=1e-6)
    assert found.errors["1"].max() < 1e-6


def test_units_at_their_neutral_state_are_not_passed():
    model, inputs = Halves(), examples(12)
    on = (model.encoder(inputs) != 0).sum(dim=1)
    found = score(model, [inputs], permutations=6)
    assert found.facts["passed"] == 6 * int((on - 1).clamp(min=0).sum())
    dead = Halves()
    dead.encoder[0].weight.data[4] = 0
    dead.encoder[0].bias.data[4] = -1
    assert score(dead, [inputs], permutations=4)["encoder"][4] == 0


def test_channels_join_with_all_their_positions():
    torch.manual_seed(0)
    encoder, head = nn.Conv2d(1, 4, 3), nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(64, 3), nn.Tanh())
    inputs = torch.rand(5, 1, 6, 6)
    model = nn.Sequential(encoder, head)
    classes = model(inputs).argmax(1).tolist()
    exact = reference.exact(encoder, head, inputs, classes).mean(0)
    found = score(model, [inputs], "0", permutations=256)
    assert (np.abs(found["0"] - exact) <= 4 * found.errors["0"] + 1e-6).all()


def test_the_loader_and_the_pass_change_nothing():
    model, inputs = Halves(), examples(21)
    one, other = (score(model, inputs.split(size), permutations=6) for size in (4, 21))
    assert one.to_dict() == other.to_dict()
    small = score(model, [inputs], permutations=6, batch=4)
    np.testing.assert_allclose(small["encoder"], one["encoder"], rtol=1e-4, atol=1e-6)


def test_a_resumed_journal_gives_the_same_and_runs_nothing_again(tmp_path):
    model, loader = Halves(), [examples(40)]
    whole = score(model, loader, permutations=32)
    path = tmp_path / "shapley.journal"
    assert score(model, loader, permutations=32, journal=path).to_dict() == whole.to_dict()
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + 3 * 2
    path.write_bytes(b"".join(lines[:4]))
    assert score(model, loader, permutations=32, journal=path).to_dict() == whole.to_dict()
    with pytest.raises(ConfigError, match="a journal goes on with the study"):
        score(model, loader, permutations=34, journal=path)


def test_ray_gives_the_same_numbers(ray_session):
    model, loader = Halves(), [examples(40)]
    serial = score(model, loader, permutations=32)
    assert score(model, loader, permutations=32, executor="ray").to_dict() == serial.to_dict()


def test_what_does_not_fit_is_refused():
    model, loader = Halves(), [examples(4)]
    with pytest.raises(ConfigError, match=r"payoff of Shapley values is logit, logits, .*; got 'shift'"):
        score(model, loader, payoff="shift")
    for orders in (2, 7, 2.5):
        with pytest.raises(ConfigError, match=r"permutations is even and at least 4; got"):
            score(model, loader, permutations=orders)
    with pytest.raises(ConfigError, match="target must be a class of the network, 0 to 2; got 3"):
        score(model, loader, target=3)
    with pytest.raises(DataError, match="needs the true classes"):
        score(model, loader, payoff="loss")
