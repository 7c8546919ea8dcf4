"""Paths against all paths of a small network, verified paths, and networks that are no chain."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ndg.efficiency.paths import CONTROLS, pathways, strongest
from ndg.errors import ConfigError, LayerError
from ndg.options import RunOptions

OPTIONS = RunOptions(progress=False)


def test_the_strongest_paths_are_those_of_all_paths():
    random = np.random.default_rng(0)
    edges = [random.random((4, 3)), random.random((5, 4)), random.random((2, 5))]
    paths, strengths = strongest(edges, 7)
    every = {
        units: edges[0][units[1], units[0]] * edges[1][units[2], units[1]] * edges[2][units[3], units[2]]
        for units in product(range(3), range(4), range(5), range(2))
    }
    expected = sorted(every, key=lambda units: -every[units])[:7]
    assert [tuple(map(int, path)) for path in paths] == expected
    ratios = strengths / strengths[0]
    np.testing.assert_allclose(ratios, [every[units] / every[expected[0]] for units in expected])


def test_more_paths_than_there_are():
    paths, _ = strongest([np.ones((2, 3))], 50)
    assert len(paths) == 6


def planted() -> nn.Sequential:
    """A network in which input 2 reaches class 1 over units 4 and 0, and little else matters."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    with torch.no_grad():
        for layer in (model[0], model[2], model[4]):
            layer.weight.mul_(0.05)
            layer.bias.zero_()
        model[0].weight[4, 2] = model[2].weight[0, 4] = model[4].weight[1, 0] = 2
    return model.eval()


def test_a_planted_path_comes_first_and_is_verified():
    data = [(torch.rand(60, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(60).long())]
    result = pathways(planted(), data, 5, OPTIONS)
    assert result.rows()[0]["path"] == "input:2 -> 0:4 -> 2:0 -> 4:1"
    assert result.rows()[0]["verified"]
    assert result.strengths[0] == 1
    assert result.controls.shape == (5, CONTROLS)
    assert "of the 5 strongest paths" in result.words()


def test_channels_are_units_of_a_path():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4)).eval()
    data = [(torch.rand(20, 2, 6, 6), torch.zeros(20).long())]
    result = pathways(model, data, 3, OPTIONS)
    assert result.layers == ("input", "0", "4")
    assert result.paths.max(axis=0).tolist() < [2, 3, 4]
    assert (result.effects > 0).all()


def test_a_network_that_is_no_chain_is_refused():
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.out = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, inputs: Tensor) -> Tensor:
            hidden = self.first(inputs)
            return self.out(hidden + self.second(hidden).relu())

    data = [(torch.rand(20, 6), torch.zeros(20).long())]
    with pytest.raises(LayerError, match="'first' are read by 'add'"):
        pathways(Sum(), data, 3, OPTIONS)
    with pytest.raises(ConfigError, match="k=0"):
        pathways(planted(), data, 0, OPTIONS)
