"""Pruning curves: every point begins anew, pruned units stay pruned, and held-out accuracy is counted."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ndg.activations.digest import weights_digest
from ndg.errors import ConfigError, DataError, FailureError, ShapeError
from ndg.importance.experiments import pruning
from ndg.importance.experiments.pruning import PruneSettings, Tuning, prune
from ndg.importance.score import score
from ndg.importance.scores import Scores
from ndg.options import RunOptions

LAYERS = ("conv", "hidden")
ASKED, BATCH_16 = PruneSettings(shares=[0.1, 0.5], draws=2), RunOptions(batch=16)


class Network(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.norm, self.relu = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.dropout, self.hidden, self.out = nn.Dropout(0.2), nn.Linear(24, 10), nn.Linear(10, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.hidden(self.dropout(self.relu(self.norm(self.conv(x))).flatten(1))).relu())


def examples(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes that the brighter half tells apart."""
    inputs = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return inputs, (inputs[:, 0, :2].mean((1, 2)) > inputs[:, 0, 2:].mean((1, 2))).long()


TRAIN, HELD = examples(120, 1), examples(50, 2)


@pytest.fixture(scope="module")
def model() -> Network:
    """A network that has learnt the task."""
    network = Network()
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(TRAIN[0]), TRAIN[1]).backward()
            optimizer.step()
    network.zero_grad(set_to_none=True)
    return network.eval()


@pytest.fixture(scope="module")
def scores(model) -> dict[str, Scores]:
    found = score(model, [TRAIN], LAYERS, "ablation", options=RunOptions(batch=60))
    ranked = {layer: -values for layer, values in found.values.items()}
    reverse = {layer: 1 / (1 + np.abs(values)) for layer, values in ranked.items()}
    worst = Scores("reverse", reverse, found.whole, "all logits", "zero activation", 120)
    return {"ablation": found, "reverse": worst}


def test_accuracy_is_that_of_the_network_written_out(model, scores):
    found = prune(model, [HELD], {"ablation": scores["ablation"]}, settings=replace(ASKED, draws=0), options=BATCH_16)
    rows = found.rows()
    assert [row["units"] for row in rows] == [0, 2, 8]
    for group, row in zip([None, *found.groups], rows, strict=True):
        maps = model.conv(HELD[0])
        if group is not None:
            maps[:, torch.from_numpy(group.chosen["conv"])] = 0
        dense = model.hidden(model.norm(maps).relu().flatten(1))
        if group is not None:
            dense[:, torch.from_numpy(group.chosen["hidden"])] = 0
        right = int((model.out(dense.relu()).argmax(1) == HELD[1]).sum())
        assert (row["accuracy"], row["n"], row["tuned"]) == (right / 50, 50, None)
        assert row["accuracy_low"] < row["accuracy"] <= row["accuracy_high"]
    assert rows[0]["accuracy"] > 0.8


def test_the_least_important_go_first(model, scores):
    rows = prune(model, [HELD], scores, settings=replace(ASKED, draws=5), options=BATCH_16).rows()
    kept = {(row["method"], row["share"]): row for row in rows}
    assert kept["ablation", 0.5]["accuracy"] > kept["reverse", 0.5]["accuracy"]
    assert kept["ablation", 0.5]["above_accuracy"] >= kept["reverse", 0.5]["above_accuracy"]
    assert kept["ablation", 0.5]["random_accuracy"] == kept["reverse", 0.5]["random_accuracy"]
    assert kept["ablation", 0.5]["draws"] == 5


def test_every_point_begins_with_the_network_as_given(model, scores):
    before = weights_digest(model)
    together = prune(model, [HELD], scores, train=[TRAIN], settings=ASKED, options=BATCH_16)
    assert weights_digest(model) == before
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    alone = prune(
        model,
        [HELD],
        {"reverse": scores["reverse"]},
        train=[TRAIN],
        settings=replace(ASKED, shares=[0.5]),
        options=BATCH_16,
    )
    wanted = next(row for row in together.rows() if (row["method"], row["share"]) == ("reverse", 0.5))
    assert alone.rows()[1] == wanted
    assert alone.rows()[0] == together.rows()[0]


def test_fine_tuning_brings_accuracy_back_and_pruned_units_do_not_come_back(model, scores, monkeypatch):
    seen = []
    tune = pruning._tune

    def watched(network, *rest):
        tune(network, *rest)
        seen.append({layer: network.get_submodule(layer)(inputs) for layer, inputs in probes(network).items()})

    def probes(network):
        return {"conv": HELD[0], "hidden": network.norm(network.conv(HELD[0])).relu().flatten(1)}

    monkeypatch.setattr(pruning, "_tune", watched)
    tuning = Tuning(epochs=10, learning_rate=0.005, rows=40)
    settings = replace(ASKED, shares=[0.5], draws=0, tuning=tuning)
    options = RunOptions(batch=16, executor="serial")  # `seen` has the order of the groups
    found = prune(model, [HELD], {"reverse": scores["reverse"]}, train=[TRAIN], settings=settings, options=options)
    row = found.rows()[1]
    assert row["tuned"] > row["accuracy"]
    (group,) = found.groups
    for layer, output in seen[1].items():
        assert (output[:, torch.from_numpy(group.chosen[layer])] == 0).all()
        assert (output[:, torch.from_numpy(~group.chosen[layer])] != 0).any()


def test_the_mean_baseline_is_that_of_the_training_examples(model, scores):
    settings = replace(ASKED, shares=[1.0], draws=0, scope="each", baselines="mean")
    found = prune(model, [HELD], scores, train=[TRAIN], settings=settings, options=BATCH_16).rows()[1]
    dense = model.hidden(model.norm(model.conv(TRAIN[0])).relu().flatten(1)).mean(0, keepdim=True)
    constant = int(model.out(dense.relu()).argmax(1))
    assert found["accuracy"] == int((HELD[1] == constant).sum()) / 50


def test_figures_are_plain_and_the_control_is_counted(model, scores):
    found = prune(model, [HELD], scores, train=[TRAIN], settings=ASKED, options=BATCH_16)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()
    assert len(found.frame()) == 1 + 2 * 2
    random = [number for number, group in enumerate(found.groups, 1) if group.method == "random" and group.share == 0.5]
    row = next(row for row in found.rows() if row["share"] == 0.5)
    assert row["random_tuned"] == pytest.approx(np.mean([found.counts.tuned[number] / 50 for number in random]))
    assert row["above_tuned"] == sum(row["tuned"] * 50 > found.counts.tuned[number] for number in random)


def test_executor_loader_and_journal_change_nothing(model, scores, ray_session, tmp_path):
    whole = prune(model, [HELD], scores, train=[TRAIN], settings=ASKED, options=BATCH_16).to_dict()
    parts = list(zip(HELD[0].split(7), HELD[1].split(7), strict=True))
    train = list(zip(TRAIN[0].split(50), TRAIN[1].split(50), strict=True))

    def pruned(**how):
        options = RunOptions(batch=16, **how)
        return prune(model, parts, scores, train=train, settings=ASKED, options=options).to_dict()

    assert pruned(executor="ray") == whole
    path = tmp_path / "pruning.journal"
    assert pruned(journal=path) == whole
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + 1 + 2 * 2 + 2 * 2
    path.write_bytes(b"".join(lines[:5]))
    assert pruned(journal=path) == whole


def test_what_does_not_fit_is_refused(model, scores):
    with pytest.raises(ConfigError, match="scope 'all' or 'each'; got 'layer'"):
        prune(model, [HELD], scores, settings=PruneSettings(scope="layer"))
    with pytest.raises(ConfigError, match="pruned units stay at one state, zero or mean, or given; got 'resample'"):
        prune(model, [HELD], scores, settings=PruneSettings(baselines="resample"))
    with pytest.raises(DataError, match="accuracy after pruning needs examples with their true classes"):
        prune(model, [HELD[0]], scores)
    with pytest.raises(DataError, match="fine-tuning needs examples with their true classes"):
        prune(model, [HELD], scores, train=[TRAIN[0]], settings=ASKED, options=BATCH_16)
    with pytest.raises(ShapeError, match="of the same units; got none"):
        prune(model, [HELD], {})
    with pytest.raises(ConfigError, match="fine-tuning takes at least 1 epoch"):
        Tuning(epochs=0)
    settings = replace(ASKED, tuning=Tuning(20, 1e30, 20))
    with pytest.raises(FailureError, match="not finite; lower its learning rate"):
        prune(model, [HELD], scores, train=[TRAIN], settings=settings, options=BATCH_16)
    frozen = Network().requires_grad_(False)
    with pytest.raises(ConfigError, match="all of this network are frozen"):
        prune(frozen, [HELD], scores, train=[TRAIN], settings=ASKED, options=BATCH_16)
