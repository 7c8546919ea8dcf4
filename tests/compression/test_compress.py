"""Compression as a whole: budgets, repair, rivals, explanations, files that run without the toolkit."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg import CompressSettings, RunOptions, compress
from ndg.activations.batches import forward
from ndg.compression.graph_labels import labels_of
from ndg.compression.methods import METHODS, OPTIONAL, pivoted
from ndg.compression.obs import Removals
from ndg.compression.repair import least_squares
from ndg.compression.sizes import equal_errors, for_units, ranking, smallest, uniform
from ndg.errors import BudgetError, ConfigError, DataError, GraphError, LayerError, MissingPackageError
from tests.compression.networks import NETWORKS, network

QUIET = RunOptions(batch=32)
FEW = CompressSettings(calibration=48, validation=16)


def curve(*errors, variance=1.0):
    return Removals(np.arange(len(errors)), np.array(errors, dtype=float), variance)


def test_removals_of_all_layers_are_ranked_by_the_largest_error_so_far():
    curves = {"a": curve(1, 5, 2, 9, 9), "b": curve(3, 4, 8, 9, variance=2.0)}
    assert ranking(curves) == ["a", "b", "b", "a", "a"]
    assert for_units(ranking(curves), curves, 4 / 9) == {"a": 2, "b": 2}
    assert ranking(curves, {"a": 10.0, "b": 1.0}.__getitem__) == ["a", "a", "a", "b", "b"]
    assert uniform(curves) == ["a", "b", "a", "b", "a"]
    assert equal_errors({"a": curve(0.1, 0.5, 0.4), "b": curve(0.05, 0.15, 0.2, 0.6)}) == ["b", "a", "b"]


@pytest.mark.parametrize(("most", "first"), [(10, 1), (10, 7), (10, 10), (1, 1)])
def test_bisection_finds_the_first(most, first):
    assert smallest(most, lambda count: count >= first) == first
    assert smallest(most, lambda count: False) is None


def test_pivots_are_those_of_a_qr_decomposition():
    from scipy.linalg import qr

    values = np.random.default_rng(0).normal(size=(50, 6)) @ np.random.default_rng(1).normal(size=(6, 6))
    upper, order = qr(values, mode="r", pivoting=True)
    pivots, left = pivoted(values.T @ values)
    assert pivots.tolist() == order.tolist()
    np.testing.assert_allclose(left[:-1], [(upper[k:6, k:] ** 2).sum() for k in range(6)])


def test_least_squares_finds_the_weights_and_the_intercept():
    torch.manual_seed(0)
    inputs, weight = torch.randn(100, 5), torch.randn(3, 5)
    found, bias = least_squares(inputs, inputs @ weight.T + 2, torch.zeros(3, 5), 1e-9)
    torch.testing.assert_close(found.float(), weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(bias.float(), torch.full((3,), 2.0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_compressed_and_repaired(name):
    model, inputs = network(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    result = compress(model, [inputs], units=0.3, settings=FEW, options=QUIET)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert result.figures.parameters < sum(weight.numel() for weight in model.parameters())
    assert result.stages["original"].agreement == 1
    units = sum(layer.units for layer in result.layers)
    assert units - sum(result.sizes.values()) == round(0.3 * units)
    assert result.stages["compressed"].r2 > result.stages["without repair"].r2 - 1e-3
    assert len(result.explain()) == round(0.3 * units)
    assert len(result.frame()) == len(result.layers)
    json.dumps(result.to_dict())
    assert "units removed by obs: predictions agree on" in result.words()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_reaches_the_same_size(method):
    model, inputs = network("cnn")
    result = compress(model, [inputs], units=0.4, method=method, settings=FEW, options=QUIET)
    assert sum(result.sizes.values()) == 70 - 28
    assert min(result.sizes.values()) >= 2
    again = compress(model, [inputs], units=0.4, method=method, settings=FEW, options=QUIET)
    assert again.sizes == result.sizes
    assert torch.equal(forward(again.network, inputs), forward(result.network, inputs))


def test_what_is_linearly_redundant_goes_without_a_trace():
    model, inputs = network("mlp")
    with torch.no_grad():
        for unit in range(1, 6):
            model.encoder.fc1.weight[unit] = model.encoder.fc1.weight[0] * (unit + 1)
            model.encoder.fc1.bias[unit] = model.encoder.fc1.bias[0] * (unit + 1)
    settings = CompressSettings(layers=("encoder.fc1",), calibration=48, validation=16, ridge=1e-9)
    result = compress(model, [inputs], units=5 / 24, settings=settings, options=QUIET)
    torch.testing.assert_close(forward(result.network, inputs), forward(model, inputs), rtol=0, atol=1e-4)
    assert result.figures.r2 == pytest.approx(1, abs=1e-4)
    labels = result.explain()
    assert set(labels.label) <= {"equivalent", "redundant", "off"}
    assert labels[labels.unit < 6].r2.min() > 0.999


def test_units_that_are_off_are_labelled_and_their_firings_counted():
    model, inputs = network("mlp")
    with torch.no_grad():
        model.encoder.fc1.weight[:3] = 0
        model.encoder.fc1.bias[:3] = torch.tensor([-1.0, 2.0, -1.0])
    settings = CompressSettings(layers=("encoder.fc1",), calibration=48, validation=16)
    result = compress(model, [inputs], units=3 / 24, settings=settings, options=QUIET)
    rows = result.explain()
    assert rows.unit.tolist() == [0, 1, 2]
    assert rows.label.tolist() == ["off", "constant", "off"]
    assert rows.firings.tolist() == [0, 0, 0]
    torch.testing.assert_close(forward(result.network, inputs), forward(model, inputs), rtol=0, atol=1e-5)


def test_a_graph_at_hand_labels_the_units():
    model, inputs = network("mlp")
    with torch.no_grad():
        layer = model.encoder.fc1
        layer.weight[:2], layer.bias[:2] = 0, torch.tensor([-1.0, 2.0])
        middle = layer(inputs.flatten(1))[:, 2].median()
        for unit, factor in ((3, 2.0), (4, -1.0)):
            layer.weight[unit] = layer.weight[2] * factor
            layer.bias[unit] = (layer.bias[2] - middle) * factor
        layer.bias[2] -= middle
    bits = ndg.extract(model, [inputs], ["encoder.fc1"], options=QUIET)
    graph = ndg.mine(bits, alpha=4, options=QUIET)
    settings = CompressSettings(layers=("encoder.fc1",), calibration=48, validation=16, graph=graph)
    result = compress(model, [inputs], units=0.5, method="magnitude", settings=settings, options=QUIET)
    labels = {row.unit: row for row in result.explain().itertuples()}
    assert (labels[0].label, labels[0].firings) == ("off", 0)
    assert (labels[1].label, labels[1].firings) == ("constant", 0)
    assert result.graph == {"digest": graph.digest, "run": None, "layers": ["encoder.fc1"]}
    known = labels_of(graph, "encoder.fc1")
    assert known.constant[0] is False
    assert known.constant[1] is True
    assert known.classes[2] == (1, (3,))
    assert known.classes[4] == (-1, (2, 3))


def test_a_graph_of_another_network_or_of_other_layers_is_refused():
    model, inputs = network("mlp")
    graph = ndg.mine(ndg.extract(network("cnn")[0], [inputs], ["encoder.fc1"], options=QUIET), options=QUIET)
    settings = CompressSettings(layers=("encoder.fc1",), calibration=48, validation=16, graph=graph)
    with pytest.raises(GraphError, match="a graph explains the network that it was mined from"):
        compress(model, [inputs], units=0.5, settings=settings, options=QUIET)
    graph = ndg.mine(ndg.extract(model, [inputs], ["decoder.fc1"], options=QUIET), options=QUIET)
    with pytest.raises(GraphError, match=r"got one of decoder.fc1 \(20 units\)"):
        compress(model, [inputs], units=0.5, settings=replace(settings, graph=graph), options=QUIET)


def test_scores_of_torch_pruning():
    model, inputs = network("cnn")
    if find_spec("torch_pruning") is None:
        with pytest.raises(MissingPackageError, match="a method of Torch-Pruning needs torch_pruning"):
            compress(model, [inputs], units=0.4, method="torch-pruning-taylor", settings=FEW, options=QUIET)
        return
    for method in OPTIONAL:
        result = compress(model, [inputs], units=0.4, method=method, settings=FEW, options=QUIET)
        assert sum(result.sizes.values()) == 70 - 28
    for name, what in (("vit", "heads"), ("gru", "hidden units")):
        model, inputs = network(name)
        with pytest.raises(LayerError, match=f"Torch-Pruning scores units and channels; .* has {what}"):
            compress(model, [inputs], units=0.4, method="torch-pruning-taylor", settings=FEW, options=QUIET)


def test_a_budget_of_flops():
    model, inputs = network("cnn")
    result = compress(model, [inputs], flops=0.5, settings=FEW, options=QUIET)
    assert result.figures.flops <= 0.5 * result.stages["original"].flops
    assert result.figures.flops > 0.4 * result.stages["original"].flops


def test_a_compression_that_was_interrupted_goes_on_to_the_same_sizes(tmp_path, monkeypatch):
    model, inputs = network("mlp")
    whole = compress(model, [inputs], agreement=0.8, settings=FEW, options=QUIET)
    plan, calls = METHODS["obs"], []

    def curves(evidence):
        calls.append(*evidence.groups)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plan.curves(evidence)

    monkeypatch.setitem(METHODS, "obs", replace(plan, curves=curves))
    kept = replace(QUIET, journal=tmp_path / "kept.jsonl")
    with pytest.raises(KeyboardInterrupt):
        compress(model, [inputs], agreement=0.8, settings=FEW, options=kept)
    result = compress(model, [inputs], agreement=0.8, settings=FEW, options=kept)
    assert calls == ["encoder.fc1", "encoder.fc2", "encoder.pre", "encoder.pre", "decoder.fc1", "decoder.fc2"]
    assert result.to_dict() == whole.to_dict()
    with pytest.raises(ConfigError, match="a journal goes on with the study and data"):
        compress(model, [inputs], agreement=0.8, method="random", settings=FEW, options=kept)


def test_a_budget_of_agreement():
    model, inputs = network("cnn")
    result = compress(model, [inputs], agreement=0.7, settings=FEW, options=QUIET)
    assert result.figures.agreement >= 0.7
    assert sum(result.sizes.values()) < 70


def test_shares_by_layer_and_by_pools_of_layers():
    model, inputs = network("cnn")
    shares = {"encoder.conv1": 0.5, ("encoder.fc1", "decoder.fc1"): 0.25}
    sizes = compress(model, [inputs], units=shares, settings=FEW, options=QUIET).sizes
    assert sizes["encoder.conv1"] == 3
    assert sizes["encoder.fc1"] + sizes["decoder.fc1"] == 24
    assert sizes["decoder.fc2"] == 16
    with pytest.raises(ConfigError, match=r"units names layers that are compressed; got 'encoder.conv9'"):
        compress(model, [inputs], units={"encoder.conv9": 0.5}, settings=FEW, options=QUIET)


def test_distillation_is_reported_separately():
    model, inputs = network("mlp")
    settings = CompressSettings(calibration=48, validation=16, distill=20)
    result = compress(model, [inputs], units=0.5, settings=settings, options=QUIET)
    assert list(result.stages) == ["original", "without repair", "compressed", "distilled"]
    plain = compress(model, [inputs], units=0.5, settings=FEW, options=QUIET)
    assert result.stages["compressed"] == plain.stages["compressed"]
    assert not torch.equal(forward(result.network, inputs), forward(plain.network, inputs))


@pytest.mark.parametrize(
    ("budget", "error", "message"),
    [
        ({"units": 0.99}, BudgetError, r"every layer keeps 2 units, so at most 58 of 70 can go"),
        (
            {"flops": 0.001},
            BudgetError,
            r"the smallest network of these layers has 0\.\d+ of the FLOPs; got flops=0.001",
        ),
        ({}, ConfigError, "one budget says how small the network becomes: units, flops or agreement; got none"),
        ({"units": 0.5, "flops": 0.5}, ConfigError, "got units, flops; pass one"),
        ({"units": 1}, ConfigError, "units must be a share above 0, and below 1; got 1"),
        ({"agreement": 1.5}, ConfigError, "agreement must be a share above 0, and at most 1; got 1.5"),
        ({"units": 0.5, "method": "magnitud"}, ConfigError, "nearest: magnitude"),
    ],
)
def test_budgets_that_cannot_be_met_are_refused(budget, error, message):
    model, inputs = network("cnn")
    with pytest.raises(error, match=message):
        compress(model, [inputs], settings=FEW, options=QUIET, **budget)


def test_an_agreement_that_no_smaller_network_reaches_is_refused():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).eval()
    with torch.no_grad():
        for layer, bias in ((model[0], 9.0), (model[2], 0.0)):
            layer.weight.copy_(torch.eye(4))
            layer.bias.fill_(bias)
    inputs = torch.randn(400, 4)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(BudgetError, match=r"without any unit the predictions agree on 0\.\d+ of the"):
        compress(model, [inputs], agreement=1, settings=CompressSettings(calibration=200), options=QUIET)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_too_few_examples_for_a_layer_are_refused():
    model, inputs = network("mlp")
    with pytest.raises(DataError, match=r"the 24 units of 'encoder.fc1' take more than 24 rows of activations; got 16"):
        compress(model, [inputs[:20]], units=0.5, options=QUIET)
    with pytest.raises(DataError, match="at least 2 examples"):
        compress(model, [inputs[:1]], units=0.5, options=QUIET)


def test_layers_that_cannot_be_compressed_and_networks_without_any():
    model, inputs = network("vit")
    with pytest.raises(LayerError, match="residual width"):
        compress(model, [inputs], units=0.5, settings=CompressSettings(layers=("vit.layers.0.mlp.fc2",)))
    with pytest.raises(ConfigError, match="this one has none"):
        compress(nn.Linear(4, 3).eval(), [torch.rand(9, 4)], units=0.5)


def test_weights_of_zero_have_a_defined_result():
    model, inputs = network("mlp")
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    result = compress(model, [inputs], units=0.5, settings=FEW, options=QUIET)
    assert result.figures.agreement == 1
    assert result.figures.r2 is None
    assert forward(result.network, inputs).isfinite().all()


@pytest.mark.parametrize(
    ("field", "value"), [("calibration", 1), ("validation", 0), ("distill", -1), ("rows", 1), ("ridge", 0.0)]
)
def test_settings_out_of_range_are_refused(field, value):
    with pytest.raises(ConfigError, match=f"{field} must be"):
        CompressSettings(**{field: value})


SCRIPT = """
import sys, torch
for folder in sys.argv[1:]:
    program = torch.export.load(folder + "/network.pt2").module()
    inputs, expected = torch.load(folder + "/case.pt")
    output = program(**inputs) if isinstance(inputs, dict) else program(inputs)
    assert torch.allclose(output, expected, atol=1e-5), (folder, (output - expected).abs().max())
assert not any(name.partition(".")[0] == "ndg" for name in sys.modules)
"""


def test_saved_networks_run_in_a_fresh_process_without_the_toolkit(tmp_path):
    folders = []
    for name in ("cnn", "attention", "gru"):
        model, inputs = network(name)
        result = compress(model, [inputs], units=0.5, settings=FEW, options=QUIET)
        folder = result.save(tmp_path / name)
        some = {key: value[:5] for key, value in inputs.items()} if isinstance(inputs, dict) else inputs[:5]
        with torch.no_grad():
            torch.save((some, forward(result.network, some)), folder / "case.pt")
        described = json.loads((folder / "compression.json").read_text())
        assert described["method"] == "obs"
        assert described["batch"] is None
        assert (folder / "weights.safetensors").is_file()
        folders.append(str(folder))
    done = subprocess.run([sys.executable, "-c", SCRIPT, *folders], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_public_names():
    assert callable(ndg.compress)
    assert issubclass(ndg.Compression, ndg.Result)
