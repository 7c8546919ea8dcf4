"""Training towards votes: planted votes stay true, interchange accuracy rises over the control, latents stay frozen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg import config, models
from ndg.causal import FaithfulSettings, Votes, train_faithful
from ndg.causal.faithful import CONTROLS, FAITHFUL, FROZEN, ORIGINAL, REAL_ONLY
from ndg.causal.towards import Examples, Way, _Mixed, trained_towards
from ndg.data.inputs import Form
from ndg.errors import CheckpointError, ConfigError, DataError, GraphError, LayerError, ShapeError
from ndg.models import checkpoint
from ndg.models.binary import Binary, make_binary

FEW = FaithfulSettings(steps=8, rows=16, per_label=4, fit=200, pairs=100)
SERIAL = ndg.RunOptions(executor="serial")


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 10), nn.Sigmoid(), nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 3)).eval()
    with torch.no_grad():
        model[4].bias.sub_(model(3 * torch.randn(400, 6)).mean(dim=0))
    return model


def examples(model: nn.Module, seed: int, n: int = 200):
    x = 3 * torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return [(x, model(x).argmax(dim=1))]


@pytest.fixture(scope="module")
def setting():
    model = network()
    train, test = examples(model, 1), examples(model, 2)
    bits = ndg.extract(model, train, ["1"], options=SERIAL)
    hybrids = [
        ndg.recombine(model, train, "1", mode, 300, like=bits, options=SERIAL) for mode in ("mix", "independent")
    ]
    return model, ndg.votes(hybrids, per_label=4), train, test, bits


def test_votes_that_the_rest_already_computes_stay_true():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Sigmoid(), nn.Linear(8, 3)).eval()
    with torch.no_grad():
        model[0].weight.mul_(1e5)  # latents are 0 or 1
        model[2].weight.copy_(torch.randint(-3, 4, (3, 8)).float())
        model[2].bias.copy_(torch.tensor([0.1, 0.2, 0.3]) - model[2].weight.sum(dim=1) / 2)
    weights, bias = model[2].weight.detach().double().numpy(), np.array([0.1, 0.2, 0.3])
    graph = Votes("1", weights / 2, bias, 0)
    train, test = examples(model, 1), examples(model, 2)
    settings = replace(FEW, learning_rate=1e-4, per_label=8)
    result = train_faithful(model, graph, train, test, settings=settings, controls=(), options=SERIAL)
    for name in (ORIGINAL, FAITHFUL):
        right, n = result[name].graph.right
        assert right == n > 50
    assert result.network is not model
    assert isinstance(result.network[1], Binary)


def test_training_raises_interchange_accuracy_over_real_examples_only(setting):
    model, graph, train, test, bits = setting
    settings = replace(FEW, steps=250, rows=64, pairs=400)
    result = train_faithful(model, graph, train, test, like=bits, settings=settings, controls=(FROZEN,), options=SERIAL)
    rows = {row["network"]: row for row in result.rows()}
    assert list(rows) == [ORIGINAL, FAITHFUL, REAL_ONLY, FROZEN]
    for control in (ORIGINAL, REAL_ONLY):
        assert rows[FAITHFUL]["iia"] > rows[control]["iia_high"]
    assert rows[FROZEN]["iia"] > rows[ORIGINAL]["iia"]
    assert all(row["iia_low"] <= row["iia"] <= row["iia_high"] and row["n_test"] == 200 for row in rows.values())
    assert result.accuracy_loss == pytest.approx(rows[REAL_ONLY]["accuracy"] - rows[FAITHFUL]["accuracy"])
    assert result.votes.edges == rows[FAITHFUL]["edges"] <= 12
    assert len(result.certificates.certificates) == 3
    assert "real examples only" in result.words()


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_latents_stay_bit_for_bit_and_a_seed_gives_the_same_network(setting, frozen):
    model, graph, train, _, bits = setting
    read = Examples.of(model, train, "1", bits, SERIAL)
    way = Way(graph, frozen, binary=True)
    first, again = (trained_towards(model, read, way, FEW, SERIAL) for _ in range(2))
    other = trained_towards(model, read, way, FEW, replace(SERIAL, seed=1))
    assert torch.equal(first[0].weight, model[0].weight) == frozen
    assert torch.equal(first[0].bias, model[0].bias) == frozen
    assert not torch.equal(first[2].weight, model[2].weight)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first[4].weight, other[4].weight)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in first.parameters())
    with torch.no_grad():
        assert set(first[:2](train[0][0]).unique().tolist()) == {0.0, 1.0}


def test_what_runs_before_the_trained_modules_is_read_once_and_changes_nothing():
    """A network with modules before the last one that gives the latents trains as one that runs whole."""
    model = nn.Sequential(nn.Identity(), *network())
    train = examples(model, 1)
    bits = ndg.extract(model, train, ["2"], options=SERIAL)
    graph = ndg.votes(ndg.recombine(model, train, "2", n=300, like=bits, options=SERIAL))
    way = Way(graph, frozen=False, binary=True)
    read = Examples.of(model, train, "2", bits, SERIAL)
    assert (read.last, read.cut) == ("1", "0")
    whole = replace(read, cut=None, features=train[0][0])
    cut, uncut = (trained_towards(model, each, way, FEW, SERIAL) for each in (read, whole))
    for name, value in cut.state_dict().items():
        torch.testing.assert_close(value, uncut.state_dict()[name])


def test_hybrids_of_a_step_by_hand():
    graph = Votes("1", np.random.default_rng(0).normal(size=(3, 5)), np.zeros(3), 0)
    real = torch.randn(8, 5)
    mixed = _Mixed(graph, torch.zeros(5))
    mixed.draw(8, 5, torch.Generator().manual_seed(0))
    hybrids = mixed.of(real)
    for row in range(8):
        sources = {int((real[:, unit] == hybrids[row, unit]).nonzero()[0, 0]) for unit in range(5)}
        if row < 6:
            assert len(sources | {row}) <= 2, "a mix takes units of one other row"
    assert torch.equal(mixed.target, torch.from_numpy(graph.predict((hybrids > 0).numpy())))


def test_a_binary_layer_passes_gradients_straight_and_goes_through_a_checkpoint(tmp_path):
    layer = Binary(nn.Sigmoid(), torch.full((3,), 0.5), torch.zeros(3), torch.ones(3))
    x = torch.tensor([[-1.0, 0.2, 3.0]], requires_grad=True)
    output = layer(x)
    assert output.tolist() == [[0.0, 1.0, 1.0]]
    output.sum().backward()
    torch.testing.assert_close(x.grad, (torch.sigmoid(x) * (1 - torch.sigmoid(x))).detach())
    with pytest.raises(ShapeError, match="choose a dense layer"):
        layer(torch.zeros(1, 4))


def test_a_checkpoint_keeps_a_binary_layer(tmp_path):
    settings, form, path = config.MLP(widths=[3], latent=2), Form.of((1, 2, 2)), tmp_path / "model.safetensors"
    model = models.build(settings, form, 3, 0).eval()
    make_binary(model, "latent", torch.full((2,), 0.4), torch.tensor([0.1, 0.0]), torch.ones(2))
    checkpoint.save(path, model, settings, form, 3, {checkpoint.BINARY: ["latent"]})
    again, about = checkpoint.load(path)
    x = torch.randn(20, 1, 2, 2)
    with torch.no_grad():
        assert torch.equal(again(x), model(x))
    checkpoint.write(path, model.state_dict(), about | {checkpoint.BINARY: ["decoder"]})
    with pytest.raises(CheckpointError, match="binary layers"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"graph": "votes"}, GraphError, "trained towards votes"),
        ({"fit": [(torch.zeros(1, 6), torch.zeros(1, dtype=torch.long))]}, DataError, "another example"),
        ({"fit": [(3 * torch.randn(60, 6), torch.zeros(60, dtype=torch.long))]}, DataError, "1, 2 of 3 are of none"),
        ({"fit": [(3 * torch.randn(60, 6),)]}, DataError, "true labels"),
        ({"controls": ["nothing"]}, ConfigError, "controls are"),
        ({"model": network(1)}, GraphError, "mine votes of this network"),
    ],
)
def test_what_is_no_training_is_named(setting, change, error, text):
    model, graph, train, test, _ = setting
    arguments = {"model": model, "graph": graph, "fit": train, "test": test, "controls": ()} | change
    with pytest.raises(error, match=text):
        train_faithful(**arguments, settings=FEW, options=SERIAL)


def test_layers_that_cannot_be_trained_towards_are_named(setting):
    model, _, train, test, _ = setting
    assert set(CONTROLS) == {REAL_ONLY, FROZEN, *CONTROLS[2:]}
    for layer, units in (("4", 3), ("nowhere", 10)):
        other = Votes(layer, np.ones((3, units)), np.zeros(3), 0)
        with pytest.raises(LayerError):
            train_faithful(model, other, train, test, settings=FEW, options=SERIAL)
    narrow = Votes("1", np.ones((3, 4)), np.zeros(3), 0)
    with pytest.raises(GraphError, match="3 labels and 10 units"):
        train_faithful(model, narrow, train, test, settings=FEW, options=SERIAL)
    for wrong in ({"steps": 0}, {"learning_rate": 0.0}, {"fit": 3}):
        with pytest.raises(ConfigError):
            FaithfulSettings(**wrong)
