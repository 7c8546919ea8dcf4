"""Covariances of what layers read, against plain ones of unfolded inputs; removals of a network's layers."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg.compression.curves import coupling, layer_removals, ridge_of
from ndg.compression.obs import FEW_RIDGE, RIDGE, Reader, removals
from ndg.compression.statistics import patches, readers
from ndg.errors import DataError
from ndg.options import RunOptions
from tests.compression.networks import NETWORKS, network

ALL = RunOptions(batch=16)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": 1},
        {"stride": 2, "padding": (0, 2)},
        {"dilation": 2, "padding": "same"},
        {"padding_mode": "reflect", "padding": 1},
    ],
)
def test_patches_give_the_convolution(options):
    layer = nn.Conv2d(3, 4, (3, 2), **options)
    inputs = torch.randn(5, 3, 9, 8)
    found = (
        torch.einsum("rck,ock->ro", patches(layer, inputs, lambda total: None), layer.weight.flatten(2)) + layer.bias
    )
    torch.testing.assert_close(found, layer(inputs).movedim(1, -1).flatten(0, -2), rtol=1e-4, atol=1e-5)


def test_patches_of_one_axis_and_drawn_ones():
    layer, inputs = nn.Conv1d(2, 3, 3, padding=1), torch.randn(4, 2, 6)
    every = patches(layer, inputs, lambda total: None)
    some = torch.tensor([0, 5, 23])
    assert torch.equal(patches(layer, inputs, lambda total: some), every[some])


def test_covariance_of_a_dense_and_a_convolutional_reader():
    model, inputs = network("cnn")
    groups = coupling(model, [inputs]).groups
    found, rows = readers(model, [inputs], groups, ALL, most=10**9)
    with torch.no_grad():
        maps = functional.relu(model.encoder.conv1(inputs))
        columns = functional.unfold(maps, 3).movedim(1, -1).flatten(0, 1)
        hidden = functional.relu(model.encoder.fc1(model.encoder[:6](inputs)))
    for name, values in (("encoder.conv1", columns), ("encoder.fc1", hidden)):
        expected = np.cov(values.double().numpy(), rowvar=False, bias=True)
        np.testing.assert_allclose(found[name][0].cov, expected, rtol=1e-4, atol=1e-6)
    weight = model.encoder.conv2.weight.detach().numpy()
    np.testing.assert_allclose(found["encoder.conv1"][0].outgoing, weight.reshape(8, -1).T)
    assert found["encoder.conv1"][0].block == 9
    assert (rows["encoder.conv1"], rows["encoder.conv2"], rows["encoder.fc1"]) == (64 * 64, 64 * 16, 64)


def test_channels_behind_a_flatten_are_pooled_over_positions():
    model, inputs = network("cnn")
    found = readers(model, [inputs], coupling(model, [inputs]).groups, ALL)[0]["encoder.conv2"][0]
    with torch.no_grad():
        maps = model.encoder[:5](inputs).flatten(2).double()
    centred = maps - maps.mean(0)
    np.testing.assert_allclose(found.cov, (torch.einsum("ncp,ndp->cd", centred, centred) / 64 / 16).numpy(), atol=1e-6)
    weight = model.encoder.fc1.weight.detach().reshape(16, 8, 16).double()
    np.testing.assert_allclose(found.outgoing @ found.outgoing.T, torch.einsum("ocp,odp->cd", weight, weight).numpy())


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_layer_has_removals(name):
    model, inputs = network(name)
    for layer, result in layer_removals(model, [inputs], options=ALL).items():
        assert sorted(result.order.tolist()) == list(range(len(result.order))), layer
        assert np.isfinite(result.errors).all()
        assert result.relative[-1] == pytest.approx(1, abs=0.1)


def test_removals_do_not_depend_on_the_batches_of_the_loader():
    model, inputs = network("cnn")
    whole, parts = (
        layer_removals(model, [inputs], options=ALL),
        layer_removals(model, list(inputs.split(7)), options=ALL),
    )
    for layer, result in whole.items():
        np.testing.assert_array_equal(result.errors, parts[layer].errors)


def test_removals_of_one_layer_equal_those_of_its_covariance():
    model, inputs = network("mlp")
    with torch.no_grad():
        hidden = functional.relu(model.encoder.fc1(inputs.flatten(1))).double().numpy()
    weights = model.encoder.fc2.weight.detach().double().numpy().T
    [result] = layer_removals(model, [inputs], ["encoder.fc1"], options=ALL).values()
    expected = removals(np.cov(hidden, rowvar=False, bias=True), weights, FEW_RIDGE)
    assert result.order.tolist() == expected.order.tolist()
    np.testing.assert_allclose(result.errors, expected.errors, rtol=1e-3, atol=1e-9)


def test_the_ridge_is_larger_for_few_examples():
    reader = Reader(np.eye(10), np.ones((10, 1)))
    assert (ridge_of([reader], 50), ridge_of([reader], 49)) == (RIDGE, FEW_RIDGE)


def test_no_examples_are_refused():
    with pytest.raises(DataError, match="at least one example"):
        layer_removals(network("mlp")[0], [])


def test_the_network_is_left_as_it_was():
    model, inputs = network("attention")
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    layer_removals(model, [inputs])
    assert model.training
    assert type(model.attention) is nn.MultiheadAttention
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
