"""Residual blocks: found by what they do without their weights, and left out without a trace."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from ndg import models
from ndg.compression.blocks import block_fitness, residual_blocks, weighted_parts
from ndg.config import ResNet
from ndg.models.resize import drop
from tests.training.small import NETWORKS, digits


class Plus(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4))

    def forward(self, x):
        return x + self.inner(x)


def test_blocks_are_those_that_pass_their_input_on():
    splits = digits()
    loader = splits.train[:8].loader(8)
    resnet = models.build(ResNet(width=4, blocks=[2, 2]), splits.form, 10, 0)
    assert residual_blocks(resnet, loader) == ["stages.0.0", "stages.0.1", "stages.1.1"]  # stages.1.0 projects
    assert residual_blocks(models.build(NETWORKS["mlp"], splits.form, 10, 0), loader) == []
    chain = nn.Sequential(Plus(), nn.Linear(4, 4), nn.Sequential(Plus(), Plus()))
    assert residual_blocks(chain, [torch.randn(5, 4)]) == ["0", "2.0", "2.1"]
    assert weighted_parts(chain, "2.0") == ["2.0.inner.1"]


def test_a_block_whose_branch_is_zero_leaves_without_a_trace():
    splits = digits()
    model = models.build(ResNet(width=4, blocks=[2, 2]), splits.form, 10, 0)
    with torch.no_grad():
        model.stages[0][1].norm2.weight.zero_()
    smaller = copy.deepcopy(model)
    drop(smaller, "stages.0.1")
    [(inputs, _)] = list(splits.train[:8].loader(8))
    with torch.no_grad():
        assert torch.equal(model(inputs), smaller(inputs))


def test_fitness_of_a_block_is_the_mean_over_its_units():
    assert block_fitness({"a": np.array([1.0, 2.0]), "b": np.array([6.0])}) == 3
