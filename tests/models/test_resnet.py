"""Residual network: ResNet-18 for small images, with the paper's map sizes."""

import pytest
import torch
from torch import nn

from ndg import models
from ndg.activations.hooks import Trace
from ndg.config import ResNet
from ndg.errors import ShapeError


def test_the_default_is_resnet_18_for_32_pixels():
    network = models.build(ResNet(), (3, 32, 32), 10, seed=0)
    assert sum(p.numel() for p in network.parameters()) == 11_173_962
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 17 + 3
    assert sum(module.out_channels for module in convolutions) == 4800
    assert all(module.bias is None for module in convolutions)
    assert network.stem.conv.kernel_size == (3, 3)
    assert network.stem.conv.stride == (1, 1)
    assert not any(isinstance(module, nn.MaxPool2d) for module in network.modules())
    shortcuts = [len(block.shortcut) > 0 for stage in network.stages for block in stage]
    assert shortcuts == [False, False, True, False, True, False, True, False]  # option B: where the shape changes
    assert all((block.norm2.weight == 1).all() for stage in network.stages for block in stage)


def test_stages_halve_the_maps_and_double_the_channels():
    network = models.build(ResNet(width=2), (3, 16, 24), 10, seed=0)
    with torch.no_grad(), Trace(network, [*(f"stages.{i}" for i in range(4)), network.second_layer]) as trace:
        network(torch.rand(3, 3, 16, 24))
        shapes = [tuple(trace[f"stages.{i}"].shape[1:]) for i in range(4)]
        assert torch.equal(trace[network.second_layer], trace["stages.3"])
    assert shapes == [(2, 16, 24), (4, 8, 12), (8, 4, 6), (16, 2, 3)]
    assert network.second_layer == "stages.3.1"


def test_each_relu_is_a_module_that_is_used_once_and_features_are_means_of_channels():
    network = models.build(ResNet(width=2, blocks=[1, 2]), (1, 8, 8), 3, seed=0)
    relus = [path for path, module in network.named_modules() if isinstance(module, nn.ReLU)]
    assert relus == ["stem.relu", *(f"stages.{block}.relu{i}" for block in ("0.0", "1.0", "1.1") for i in (1, 2))]
    with torch.no_grad(), Trace(network, [*relus, "features"]) as trace:
        network(torch.rand(3, 1, 8, 8))
        assert all((trace[path] >= 0).all() for path in relus)
        assert torch.allclose(trace["features"], trace[network.second_layer + ".relu2"].mean(dim=(2, 3)), atol=1e-6)


def test_a_block_adds_its_shortcut():
    network = models.build(ResNet(width=4, blocks=[2]), (4, 6, 6), 3, seed=0)
    block = network.stages[0][1]
    maps = torch.rand(2, 4, 6, 6)
    with torch.no_grad():
        nn.init.zeros_(block.norm2.weight)
        assert torch.equal(block(maps), maps)


def test_images_too_small_for_the_stages_are_refused():
    with pytest.raises(ShapeError, match=r"4 stages.* at least 8 x 8 pixels; got 4 x 9; give model\.blocks fewer"):
        models.build(ResNet(), (1, 4, 9), 3, seed=0)
