"""Weights, inputs, layers and budgets that cannot be compressed end in a message; the original stays."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from ndg.compression import CompressSettings, compress, coupling, layer_removals
from ndg.errors import BudgetError, ConfigError, DataError, LayerError
from ndg.options import RunOptions

INPUTS = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
SETTINGS = CompressSettings(calibration=40)


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3)).eval()


def compressed(model, inputs=INPUTS, settings=SETTINGS, **budget):
    return compress(model, [inputs], settings=settings, options=RunOptions(), **(budget or {"units": 0.4}))


def with_weight(weight):
    model = mlp()
    del model[0].weight
    model[0].register_buffer("weight", weight)
    return model


def masked():
    model = mlp()
    prune.l1_unstructured(model[0], "weight", 0.5)
    return model


def imitated():
    model = mlp()
    model[0].weight_fake_quant = nn.Identity()
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: with_weight(torch.ones(8, 6, dtype=torch.int8)), "'0' is quantised; compress the network first"),
        (imitated, "'0' is quantised; compress the network first"),
        (lambda: with_weight(torch.ones(8, 6).to_sparse()), "those of '0' are torch.sparse_coo tensors"),
        (lambda: with_weight(torch.ones(8, 6, dtype=torch.complex64)), "those of '0' are torch.complex64"),
        (lambda: nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.Linear(5, 3)), "'0' is lazy and has none yet"),
        (masked, "those of '0' are computed from others by a hook"),
    ],
)
def test_weights_that_are_no_plain_numbers_are_refused(make, message):
    with pytest.raises(LayerError, match=message):
        compressed(make())


def test_a_layer_of_no_width_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the initialisation of no weights
        model = nn.Sequential(nn.Linear(6, 0), nn.Linear(0, 3))
    with pytest.raises(LayerError, match=r"those of '0' are of shape \(0, 6\)"):
        compressed(model)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("layer", [0, 2, 4])
def test_weights_that_are_not_finite_are_refused(value, layer):
    model = mlp()
    with torch.no_grad():
        model[layer].weight[0, 0] = value
    with pytest.raises(LayerError, match="must be finite"):
        compressed(model)


def test_an_intercept_or_an_input_that_is_not_finite_is_refused():
    model, inputs = mlp(), INPUTS.clone()
    with torch.no_grad():
        model[4].bias[1] = math.nan
    with pytest.raises(LayerError, match=r"logits must be finite to be compared; those of Sequential"):
        compressed(model)
    inputs[3, 2] = math.nan
    with pytest.raises(LayerError, match="must be finite"):
        compressed(mlp(), inputs)


def test_errors_of_removal_take_more_rows_than_units():
    assert set(layer_removals(mlp(), [INPUTS[:9]])) == {"0", "2"}
    with pytest.raises(DataError, match="the 8 units of '0' take more than 8 rows of activations; got 8"):
        layer_removals(mlp(), [INPUTS[:8]])


def test_networks_of_bfloat16_are_compressed():
    assert compressed(mlp().bfloat16(), INPUTS.bfloat16()).figures.agreement > 0.5


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((), "layers must name at least one layer"),
        ((3,), "layers must be names of layers; got int 3"),
        ("1", r"'1' has none: no weights of this module \(ReLU\) make them; choose among 0, 2"),
        (("nosuch",), "'nosuch' has none: no such layer"),
    ],
)
def test_layers_that_have_no_units_are_named(layers, message):
    with pytest.raises((ConfigError, LayerError), match=message):
        compressed(mlp(), settings=CompressSettings(layers=layers, calibration=40))


def test_a_single_layer_is_named_by_a_text():
    assert set(compressed(mlp(), settings=CompressSettings(layers="2", calibration=40)).sizes) == {"2"}


def test_a_network_without_weights_says_so():
    with pytest.raises(ConfigError, match="it has no dense, convolutional or recurrent layer"):
        compressed(nn.Sequential(nn.Flatten(), nn.ReLU()))


def test_the_other_name_of_shared_weights_has_the_reason_too():
    shared = nn.Linear(8, 8)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(8, 3)).eval()
    refused = coupling(model, [INPUTS]).refused
    assert "its weights are shared with another layer" in refused["2"]
    assert "its weights are shared with another layer" in refused["4"]


@pytest.mark.parametrize(
    ("budget", "error", "message"),
    [
        ({"units": 0.01}, BudgetError, "removes at least one unit; units=0.01 of 13 units is less; ask for at least"),
        ({"units": {"0": 0.01}}, BudgetError, "of 8 units is less"),
        ({"units": {}}, ConfigError, "at least one layer; got none"),
        ({"units": {(): 0.5}}, ConfigError, "got no layer in"),
        ({"units": {"0": 0.5, ("0", "2"): 0.5}}, ConfigError, "got '0' twice"),
        ({"units": {3: 0.5}}, ConfigError, "of a layer, or of a tuple of layers; got int 3"),
        ({"units": True}, ConfigError, "units must be a share above 0, and below 1; got True"),
        ({"flops": 1}, ConfigError, "flops must be a share above 0, and below 1; got 1"),
        ({"flops": True}, ConfigError, "got True"),
        ({"flops": {"0": 0.5}}, ConfigError, "flops must be a share"),
        ({"flops": 1e-6}, BudgetError, "the smallest network of these layers has"),
        ({"agreement": {"0": 0.5}}, ConfigError, "agreement must be a share above 0, and at most 1"),
        ({"agreement": math.nan}, ConfigError, "got nan"),
    ],
)
def test_budgets_that_mean_nothing_are_refused(budget, error, message):
    model = mlp()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(error, match=message):
        compressed(model, **budget)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_numpy_number_is_a_budget():
    assert sum(compressed(mlp(), units=np.float32(0.4)).sizes.values()) == 13 - 5
