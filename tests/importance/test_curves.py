"""Groups of units at their neutral state: chosen by score, the same as one unit or one layer at a time, and counted."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from ndg.errors import ConfigError, ShapeError
from ndg.importance.experiments.curves import CurveSettings, ablation_curves
from ndg.importance.experiments.groups import groups, over_draws
from ndg.importance.score import score
from ndg.importance.scores import Scores
from ndg.importance.settings import ScoreSettings
from ndg.options import RunOptions

BATCH_8 = RunOptions(batch=8)
BATCH_4 = RunOptions(batch=4)

LAYERS = ("conv", "hidden")
UNITS = {"conv": 6, "hidden": 10}


class Network(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.relu = nn.Conv2d(1, 6, 3), nn.ReLU(inplace=True)
        self.hidden, self.out = nn.Linear(24, 10), nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.hidden(self.relu(self.conv(x)).flatten(1)).tanh())


def examples(n: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(n, 1, 4, 4, generator=generator), torch.randint(0, 3, (n,), generator=generator)


def scored(**values: list[float]) -> Scores:
    return Scores(
        "given",
        {layer: np.array(row, dtype=np.float64) for layer, row in values.items()},
        dict.fromkeys(values, 0.0),
        "all logits",
        "zero activation",
        1,
    )


def ranked(seed: int = 0) -> Scores:
    generator = np.random.default_rng(seed)
    return scored(**{layer: generator.normal(size=units).tolist() for layer, units in UNITS.items()})


def members(group) -> dict[str, list[int]]:
    return {layer: np.flatnonzero(units).tolist() for layer, units in group.chosen.items()}


def test_groups_hold_the_largest_scores_first():
    scores = {"given": scored(first=[1.0, -5.0, 0.0, 3.0], second=[4.0, 2.0])}
    everywhere = groups(scores, [0.1, 0.5, 1.0], scope="all")
    assert [members(group) for group in everywhere] == [
        {"first": [1], "second": []},
        {"first": [1, 3], "second": [0]},
        {"first": [0, 1, 2, 3], "second": [0, 1]},
        {"first": [2], "second": []},
        {"first": [0, 2], "second": [1]},
        {"first": [0, 1, 2, 3], "second": [0, 1]},
    ]
    assert [(group.order, group.units, group.of) for group in everywhere[:2]] == [("top", 1, 6), ("top", 3, 6)]
    each = groups(scores, [0.5], ["top"], "each")
    assert [(group.layer, members(group)) for group in each] == [("all", {"first": [1, 3], "second": [0]})]
    alone = groups(scores, [0.5], ["bottom"], "layer")
    assert [(group.layer, members(group)) for group in alone] == [
        ("first", {"first": [0, 2]}),
        ("second", {"second": [1]}),
    ]


def test_random_groups_are_nested_and_drawn_from_the_seed():
    found = groups({"given": ranked()}, [0.2, 0.5], ["top"], "all", draws=3, seed=1)[2:]
    assert [(group.method, group.draw, group.units) for group in found] == [
        ("random", draw, units) for draw in range(3) for units in (3, 8)
    ]
    for small, large in zip(found[::2], found[1::2], strict=True):
        assert all((small.chosen[layer] <= large.chosen[layer]).all() for layer in LAYERS)
    again = groups({"given": ranked()}, [0.2, 0.5], ["top"], "all", draws=3, seed=1)[2:]
    assert [members(group) for group in found] == [members(group) for group in again]
    other = groups({"given": ranked()}, [0.2, 0.5], ["top"], "all", draws=3, seed=2)[2:]
    assert [members(group) for group in found] != [members(group) for group in other]


def test_the_mean_of_draws_has_a_student_interval():
    mean, low, high = over_draws([1, 2, 3])
    assert mean == 2
    assert high - 2 == pytest.approx(4.302652729911275 / 3**0.5)
    assert 2 - low == pytest.approx(high - 2)
    assert over_draws([]) is None


def by_hand(model: Network, inputs: torch.Tensor, conv: list[int], hidden: list[int]) -> torch.Tensor:
    """Logits with channels and units at zero."""
    maps = model.conv(inputs)
    maps[:, conv] = 0
    dense = model.hidden(maps.relu().flatten(1))
    dense[:, hidden] = 0
    return model.out(dense.tanh()).detach()


@pytest.mark.parametrize("scope", ["all", "each", "layer"])
def test_every_figure_is_that_of_the_network_written_out(scope):
    model, (inputs, labels) = Network(), examples()
    scores = {"given": ranked()}
    found = ablation_curves(
        model, [(inputs, labels)], scores, settings=CurveSettings(scope=scope, draws=0), options=BATCH_8
    )
    expected = groups(scores, scope=scope)
    before = model(inputs).detach()
    for group, row in zip(expected, found.rows()[1:], strict=True):
        chosen = {"conv": [], "hidden": []} | members(group)
        after = by_hand(model, inputs, **chosen)
        assert row["n"] == 30
        assert row["accuracy"] == pytest.approx(float((after.argmax(1) == labels).float().mean()))
        assert row["loss"] == pytest.approx(nn.functional.cross_entropy(after, labels).item(), rel=1e-5)
        assert row["shift"] == pytest.approx((after - before).norm(dim=1).mean().item(), rel=1e-4, abs=1e-6)
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
    first = found.rows()[0]
    assert (first["method"], first["shift"]) == ("none", 0.0)


@pytest.mark.parametrize("baselines", ["zero", "mean", "resample", 0.4])
def test_one_whole_layer_is_the_whole_of_ablation(baselines):
    model, loader = Network(), [examples()]
    ablated = score(model, loader, LAYERS, "ablation", settings=ScoreSettings(baselines=baselines), options=BATCH_8)
    found = ablation_curves(
        model,
        loader,
        {"ablation": ablated},
        settings=CurveSettings(shares=[1.0], orders=["top"], scope="layer", draws=0, baselines=baselines),
        options=BATCH_8,
    )
    for row in found.rows()[1:]:
        assert row["shift"] == pytest.approx(ablated.whole[row["layer"]], rel=1e-5)
    damage = score(
        model,
        loader,
        LAYERS,
        "ablation",
        measure="accuracy",
        settings=ScoreSettings(baselines=baselines),
        options=BATCH_8,
    )
    untouched = found.rows()[0]["accuracy"]
    for row in found.rows()[1:]:
        assert untouched - row["accuracy"] == pytest.approx(damage.whole[row["layer"]])


def test_of_one_unit_is_the_damage_of_ablation():
    model, loader = Network(), [examples()]
    ablated = score(model, loader, LAYERS, "ablation", options=BATCH_8)
    found = ablation_curves(
        model,
        loader,
        {"ablation": ablated},
        settings=CurveSettings(shares=[0.01], scope="layer", draws=0),
        options=BATCH_8,
    ).rows()[1:]
    for row in found:
        wanted = ablated[row["layer"]].max() if row["order"] == "top" else ablated[row["layer"]].min()
        assert row["units"] == 1
        assert row["shift"] == pytest.approx(wanted, rel=1e-5)


def test_the_control_is_the_mean_over_draws():
    model, loader = Network(), [examples()]
    found = ablation_curves(
        model,
        loader,
        {"given": ranked()},
        settings=CurveSettings(shares=[0.3], orders=["top"], draws=4),
        options=BATCH_8,
    )
    (row,) = found.rows()[1:]
    tally = found.tally
    assert row["draws"] == 4
    assert row["random_accuracy"] == pytest.approx(tally.correct[2:].mean() / 30)
    assert row["random_loss"] == pytest.approx(tally.loss[2:].mean() / 30)
    assert row["random_shift"] == pytest.approx(tally.shift[2:].mean() / 30)
    assert 0 <= row["random_low"] <= row["random_accuracy"] <= row["random_high"] <= 1
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()
    assert len(found.frame()) == 2


def test_without_classes_only_logits_are_compared():
    model, (inputs, _) = Network(), examples()
    found = ablation_curves(
        model, [inputs], {"given": ranked()}, settings=CurveSettings(draws=2), options=BATCH_8
    ).rows()
    assert {row["accuracy"] for row in found} == {None}
    assert {row["loss"] for row in found} == {None}
    assert all(row["shift"] > 0 for row in found[1:])


def test_tokens_and_time_steps_are_silenced_too():
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding, self.hidden, self.out = nn.Embedding(7, 4), nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            kept = attention_mask[..., None]
            return self.out((self.hidden(self.embedding(input_ids)).tanh() * kept).sum(1) / kept.sum(1))

    mask = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 1, 1]])
    columns = {"input_ids": torch.randint(0, 7, (4, 3)), "attention_mask": mask, "labels": torch.tensor([0, 1, 2, 0])}
    model = Words()
    ablated = score(model, [columns], ["hidden"], "ablation", options=BATCH_4)
    found = ablation_curves(
        model,
        [columns],
        {"ablation": ablated},
        settings=CurveSettings(shares=[0.2, 1.0], orders=["top"], scope="layer", draws=0),
        options=BATCH_4,
    ).rows()[1:]
    assert found[0]["shift"] == pytest.approx(ablated["hidden"].max(), rel=1e-5)
    assert found[1]["shift"] == pytest.approx(ablated.whole["hidden"], rel=1e-5)


def test_loader_executor_and_journal_change_nothing(ray_session, tmp_path):
    model, (inputs, labels) = Network(), examples()

    def curves(batches, scores, **how):
        options = RunOptions(batch=8, **how)
        return ablation_curves(model, batches, scores, settings=CurveSettings(draws=2), options=options).to_dict()

    scores = {"given": ranked()}
    whole = curves([(inputs, labels)], scores)
    parts = list(zip(inputs.split(7), labels.split(7), strict=True))
    assert curves(parts, scores) == whole
    assert curves(parts, scores, executor="ray") == whole
    path = tmp_path / "curves.journal"
    for _ in range(2):
        assert curves(parts, scores, journal=path) == whole
    assert len(path.read_bytes().splitlines()) == 1 + 4
    with pytest.raises(ConfigError, match="a journal goes on with the study"):
        curves(parts, {"given": ranked(1)}, journal=path)


def test_the_network_is_left_as_it_was():
    model = Network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ablation_curves(model, [examples()], {"given": ranked()}, settings=CurveSettings(draws=1), options=BATCH_8)
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_does_not_fit_is_refused():
    model, loader = Network(), [examples()]
    for asked in ({"scope": "network"}, {"orders": ["middle"]}):
        with pytest.raises(ConfigError, match=r"groups are of scope layer, each, all and of order top, bottom; got"):
            ablation_curves(model, loader, {"given": ranked()}, settings=CurveSettings(**asked))
    for shares in ([], [0.0], [1.5]):
        with pytest.raises(ConfigError, match="shares of units lie above 0 and are at most 1"):
            ablation_curves(model, loader, {"given": ranked()}, settings=CurveSettings(shares=shares))
    with pytest.raises(ConfigError, match="0 or more times; got -1"):
        ablation_curves(model, loader, {"given": ranked()}, settings=CurveSettings(draws=-1))
    with pytest.raises(ShapeError, match="scores that are compared are of the same units; got"):
        ablation_curves(model, loader, {"given": ranked(), "other": scored(conv=[1.0])})
    with pytest.raises(ShapeError, match="got none"):
        ablation_curves(model, loader, {})
    with pytest.raises(ConfigError, match="'random' names the control"):
        ablation_curves(model, loader, {"random": ranked()})
