"""Removal of units: the smaller network equals the masked one, and each weight is one of the former weights."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from ndg import models
from ndg.compression.curves import coupling
from ndg.compression.surgery import narrowed, without
from ndg.config import CNN, GRU, ResNet
from tests.training.small import NETWORKS, digits, sentences


def network(name):
    splits = sentences() if name in ("lstm", "gru") else digits()
    settings = {
        "mlp": NETWORKS["mlp"],
        "cnn": CNN(channels=[4, 6], width=12, latent=5),
        "resnet": ResNet(width=4, blocks=[2, 1]),
        "lstm": NETWORKS["lstm"],
        "gru": GRU(embedding=6, width=5, latent=5, depth=2),
    }[name]
    return models.build(settings, splits.form, splits.classes, 0), splits.train[:20]


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet", "lstm", "gru"])
def test_a_network_without_units_equals_the_network_whose_readers_ignore_them(name):
    model, examples = network(name)
    groups = coupling(model, examples.loader(20)).groups
    assert groups
    draw = np.random.default_rng(0)
    chosen = {key: np.sort(draw.choice(group.units, group.units // 2, replace=False)) for key, group in groups.items()}
    masked = copy.deepcopy(model)
    with torch.no_grad():
        for key, units in chosen.items():
            for part in groups[key].readers:
                gone, module = part.index[units].reshape(-1), masked.get_submodule(part.path)
                for weight in [module.weight_ih_l0] if isinstance(module, nn.RNNBase) else [module.weight]:
                    weight[:, gone] = 0
            for part in groups[key].makers:  # a recurrent layer reads its own units
                module = masked.get_submodule(part.path)
                if isinstance(module, nn.RNNBase):
                    module.weight_hh_l0[:, part.index[units].reshape(-1)] = 0
    smaller, kept = without(model, groups, chosen)
    [(inputs, _)] = list(examples.loader(20))
    with torch.no_grad():
        torch.testing.assert_close(call(smaller, inputs), call(masked, inputs), rtol=1e-5, atol=1e-5)
    again, rest = coupling(smaller, examples.loader(20)).groups, narrowed(groups, chosen)
    assert list(again) == [key for key, group in rest.items() if group.units > 2]  # others keep what they have
    for key, group in again.items():
        assert (group.units, group.kind) == (rest[key].units, rest[key].kind)
        for side in ("makers", "scales", "readers"):
            for part, other in zip(getattr(group, side), getattr(rest[key], side), strict=True):
                assert part.path == other.path
                np.testing.assert_array_equal(part.index, other.index)
    former, sizes = dict(model.named_parameters()), 0
    for key, value in smaller.named_parameters():
        assert torch.equal(value, former[key].flatten()[kept[key]])
        sizes += value.numel()
    assert sizes < sum(value.numel() for value in former.values())


def call(model, inputs):
    output = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    return output[0] if isinstance(output, tuple) else output
