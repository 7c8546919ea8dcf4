"""Certificates: exhaustive search on twelve latents, sound bounds, counterexamples, clear errors."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg.causal import CertifySettings, certify, smallest
from ndg.causal.bounds import RELU, SIGMOID, lower, run
from ndg.causal.certificates import OPEN, PROVED, REFUTED
from ndg.errors import ConfigError, GraphError, LayerError

UNITS, LABELS = 12, 3


def made(activation, seed=0):
    torch.manual_seed(seed)
    rest = [nn.Linear(UNITS, 16), activation(), nn.Dropout(), nn.Linear(16, 10), activation(), nn.Linear(10, LABELS)]
    return nn.Sequential(nn.Linear(6, UNITS), nn.Sigmoid(), *rest).eval()


def mined(model):
    torch.manual_seed(5)
    x = 4 * torch.randn(300, 6)
    loader = [(x, torch.zeros(300, dtype=torch.long))]
    return ndg.mine(ndg.extract(model, loader, ["1"]), "paper", alpha=2), loader


def always(model, literals, label):
    """Whether the network gives a label for every setting of the other units, and one by one."""
    free = [unit for unit in range(UNITS) if unit not in literals]
    x = np.zeros((2 ** len(free), UNITS))
    x[:, free] = np.array(list(product([0.0, 1.0], repeat=len(free))))
    for unit, value in literals.items():
        x[:, unit] = value
    with torch.no_grad():
        return bool((model[2:](torch.from_numpy(x).float()).argmax(dim=1) == label).all())


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid])
def test_certificates_agree_with_exhaustive_search(activation):
    statuses = set()
    generator = np.random.default_rng(1)
    for seed in range(3):
        model = made(activation, seed)
        graph, loader = mined(model)
        for size in (0, 3, 6, 8, 10, 12):
            units = generator.permutation(UNITS)[:size]
            literals = {int(unit): bool(generator.integers(2)) for unit in units}
            names = [f"{'' if value else '~'}1:{unit}" for unit, value in literals.items()]
            with torch.no_grad():
                one = torch.tensor([[float(literals.get(unit, 0)) for unit in range(UNITS)]])
                label = int(model[2:](one).argmax())
            found = certify(model, graph, loader, "1", names, label)
            statuses.add(found.status)
            assert found.status == (PROVED if always(model, literals, label) else REFUTED)
            if found.counterexample is not None:
                setting = torch.tensor([found.counterexample], dtype=torch.float32)
                with torch.no_grad():
                    assert int(model[2:](setting).argmax()) == found.gives != label
                assert all(found.counterexample[unit] == value for unit, value in literals.items())
    assert statuses == {PROVED, REFUTED}


@pytest.mark.parametrize("name", [RELU, SIGMOID])
def test_bounds_lie_below_every_value_in_the_box(name):
    generator = np.random.default_rng(0)
    sizes = (5, 7, 6, 3)
    steps = []
    for inputs, outputs in pairwise(sizes):
        steps += [(generator.normal(size=(outputs, inputs)), generator.normal(size=outputs)), name]
    steps = steps[:-1]
    low = generator.normal(size=(20, 5))
    high = low + generator.random((20, 5)) * generator.choice([0.0, 0.1, 3.0], (20, 5))
    directions = generator.normal(size=(4, 3))
    bounds, _ = lower(steps, low, high, directions)
    points = low[:, None] + generator.random((20, 400, 5)) * (high - low)[:, None]
    values = run(steps, points.reshape(-1, 5)).reshape(20, 400, 3) @ directions.T
    assert (bounds[:, None] <= values + 1e-9).all()
    point, _ = lower(steps, low, low, directions)
    np.testing.assert_allclose(point, run(steps, low) @ directions.T, atol=1e-9)


def test_smallest_beginnings_are_proved_and_no_member_is_idle():
    model = made(nn.ReLU, 2)
    graph, loader = mined(model)
    orders = {}
    with torch.no_grad():
        for label in range(LABELS):
            gradient = (model[7].weight[label] @ model[5].weight @ model[2].weight).numpy()
            order = np.argsort(-np.abs(gradient))
            orders[label] = [f"{'' if gradient[unit] > 0 else '~'}1:{unit}" for unit in order]
    found = smallest(model, graph, loader, "1", orders)
    assert {each.label for each in found.certificates} == set(range(LABELS))
    assert any(each.status == PROVED for each in found.certificates)
    for each in found.certificates:
        literals = {int(name.split(":")[1]): not name.startswith("~") for name in each.members}
        assert always(model, literals, each.label) == (each.status == PROVED)
        if each.status == PROVED:
            for unit in literals:
                fewer = {other: value for other, value in literals.items() if other != unit}
                assert not always(model, fewer, each.label)
    assert "are proved to decide their label" in found.words()
    assert len(found.frame()) == LABELS


def test_a_proof_that_takes_too_long_is_open():
    model = made(nn.ReLU, 0)
    graph, loader = mined(model)
    with torch.no_grad():
        label = int(model[2:](torch.zeros(1, UNITS)).argmax())
    found = certify(model, graph, loader, "1", [], label, settings=CertifySettings(nodes=1))
    assert found.status in (OPEN, REFUTED)
    assert found.nodes <= 1


def test_means_are_written_where_zero_and_one_are_no_activations():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, LABELS)).eval()
    graph, loader = mined(model)
    with torch.no_grad():
        latent = model[:2](loader[0][0])
        on = torch.stack([latent[latent[:, unit] > 0, unit].mean() for unit in range(8)])
        settings = torch.tensor(list(product([0.0, 1.0], repeat=8)))
        labels = model[2](settings * on).argmax(dim=1)
    names = [f"1:{unit}" if unit % 2 else f"~1:{unit}" for unit in range(8)]
    row = (settings == torch.tensor([float(unit % 2) for unit in range(8)])).all(dim=1).nonzero()[0, 0]
    assert certify(model, graph, loader, "1", names, int(labels[row])).status == PROVED


def test_what_cannot_be_certified_is_named():
    model = made(nn.ReLU)
    graph, loader = mined(model)
    for wrong, message in ((["2:1"], "literal of '1'"), (["1:99"], "literal of '1'"), (["1:0", "~1:0"], "one boolean")):
        with pytest.raises(GraphError, match=message):
            certify(model, graph, loader, "1", wrong, 0)
    for label in (3, -1, True, "a"):
        with pytest.raises(GraphError, match="a label is a whole number from 0 to 2"):
            certify(model, graph, loader, "1", [], label)
    with pytest.raises(ConfigError, match="at least 1 box"):
        CertifySettings(nodes=0)
    with pytest.raises(ConfigError, match="take 'mean'"):
        CertifySettings(values="resample")

    class Shortcut(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 5)
            self.d = nn.Linear(5, 3)

        def forward(self, x):
            latent = self.b(self.a(x))
            return self.d(torch.relu(self.c(latent)) + latent)

    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c, self.d = nn.Linear(6, 5), nn.Sigmoid(), nn.LayerNorm(5), nn.Linear(5, 3)

        def forward(self, x):
            return self.d(self.c(self.b(self.a(x))))

    for other, message in ((Shortcut(), "functions or shortcuts"), (Normed(), "'c' is a LayerNorm")):
        bits = ndg.extract(other, loader, ["b"])
        with pytest.raises(LayerError, match=message):
            certify(other, ndg.mine(bits, "paper", alpha=2), loader, "b", [], 0)
