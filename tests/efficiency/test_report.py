"""The report of a network: figures against their definitions, nulls, odd layers, batch size, and words."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ndg.compression.curves import layer_removals
from ndg.compression.obs import Reader, removals, removals_of_readers
from ndg.efficiency import removal
from ndg.efficiency.importance import KINDS
from ndg.efficiency.measure import compare, report
from ndg.efficiency.metrics import metrics
from ndg.efficiency.parts import parts_of
from ndg.efficiency.removal import outgoing
from ndg.errors import ConfigError, DataError, LayerError
from ndg.options import RunOptions
from tests.compression.networks import network

OPTIONS = RunOptions(batch=16, progress=False)


def mlp(widths=(6, 8, 5, 3), seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def examples(n: int = 200, width: int = 6) -> list[tuple[Tensor, Tensor]]:
    return [(torch.randn(n, width, generator=torch.Generator().manual_seed(1)), torch.arange(n) % 3)]


class Residual(nn.Module):
    """A convolution read by one layer, a sum read by two, and a dense layer that reads channels after a pool."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.back = (
            nn.Conv2d(1, 4, 3, padding=1),
            nn.Conv2d(4, 6, 3),
            nn.Conv2d(6, 4, 3, padding=2),
        )
        self.norm, self.dense, self.out = nn.BatchNorm2d(6), nn.Linear(4 * 4, 7), nn.Linear(7, 3)

    def forward(self, images: Tensor) -> Tensor:
        stem = self.stem(images).relu()
        inner = torch.nn.functional.relu(self.norm(self.inner(stem)))
        summed = torch.nn.functional.max_pool2d(stem + self.back(inner), 2)
        return self.out(self.dense(summed.flatten(1)).tanh())


def images(n: int = 50) -> list[tuple[Tensor, Tensor]]:
    return [(torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(1)), torch.arange(n) % 3)]


def test_figures_of_a_dense_layer_are_those_of_its_definitions():
    model, [(inputs, labels)] = mlp(), examples()
    rows = report(model, [(inputs, labels)], options=OPTIONS).layers
    with torch.no_grad():
        hidden = model[1](model[0](inputs)).double().numpy()
    weight = model[0].weight.detach().double().numpy()
    expected = metrics(np.abs(weight) * np.abs(hidden).mean(axis=0)[:, None])
    assert rows[0].metrics.entropy == pytest.approx(expected.entropy, rel=1e-5)
    assert rows[0].metrics.gini == pytest.approx(expected.gini, rel=1e-5)
    covariance = np.cov(hidden.T, bias=True)
    said = removals(covariance, model[2].weight.detach().double().numpy().T).removable(0.01)
    assert rows[0].removable == said
    values = np.linalg.eigvalsh(covariance)
    assert rows[0].participation == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-4)
    assert [row.read_by for row in rows] == ["2", "4", "nothing"]
    assert rows[-1].removable is None
    assert rows[0].flops == 2 * 6 * 8
    assert rows[0].bytes == 4 * 48
    assert rows[0].activation_bytes == 4 * 8
    assert rows[0].seconds > 0


def test_readers_are_found_through_norms_pools_and_flattening():
    by_layer = {row.layer: row for row in report(Residual().eval(), images(), options=OPTIONS).layers}
    readers = {layer: row.read_by for layer, row in by_layer.items()}
    assert readers == {"stem": "add", "inner": "back", "back": "add", "dense": "out", "out": "nothing"}
    assert by_layer["inner"].removable is not None
    assert by_layer["dense"].removes == "unit"


def rows_of(values: Tensor) -> np.ndarray:
    return values.detach().double().flatten(2).transpose(1, 2).flatten(0, 1).numpy()


def test_layers_that_are_added_share_their_width_and_all_its_readers():
    model, [(inputs, _)] = Residual().eval(), images()
    rows = {row.layer: row for row in report(model, images(), options=OPTIONS).layers}
    parts = {part.name: part for part in parts_of(model)}
    with torch.no_grad():
        stem = model.stem(inputs).relu()
        inner = model.norm(model.inner(stem)).relu()
        summed = torch.nn.functional.max_pool2d(stem + model.back(inner), 2)
    readers = [
        Reader(np.cov(rows_of(values).T, bias=True), outgoing(parts[name], 4))
        for name, values in (("inner", stem), ("dense", summed))
    ]
    share = removals_of_readers(readers).removable(0.01)
    for name in ("stem", "back"):
        assert (rows[name].removable, rows[name].removes, rows[name].group) == (share, "residual width", "stem")
    assert rows["stem"].note == "residual width of stem, back: read by inner, dense"


@pytest.mark.parametrize(("name", "kind"), [("attention", "head"), ("stacked", "hidden unit")])
def test_heads_and_hidden_units_go_as_they_do_in_a_compression(name, kind):
    model, inputs = network(name)
    result = report(model, [inputs], options=OPTIONS)
    shares = {group: curve.removable() for group, curve in layer_removals(model, [inputs], options=OPTIONS).items()}
    rows = [row for row in result.layers if row.removes == kind]
    assert {row.group for row in rows} == {"attention" if kind == "head" else f"rnn.layers.{n}" for n in (0, 1)}
    assert len(rows) == (3 if kind == "head" else 12)
    for row in rows:
        assert row.removable == pytest.approx(shares[row.group])
        assert row.group_units == (4 if kind == "head" else 6)
    rest = {row.layer: (row.removable, row.read_by) for row in result.layers if row.removes == "unit"}
    assert rest.get("attention.output", (None, "add")) == (None, "add")
    groups = {each.layer for each in result.recommendations()}
    assert groups <= set(shares) | {row.layer for row in result.layers}


def test_units_of_a_product_go_together_as_they_do_in_a_compression():
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.up, self.down = nn.Linear(6, 5), nn.Linear(6, 5), nn.Linear(5, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.down(nn.functional.silu(self.gate(inputs)) * self.up(inputs))

    model, [(inputs, labels)] = Gated().eval(), examples()
    gate, up, _ = report(model, [(inputs, labels)], options=OPTIONS).layers
    with torch.no_grad():
        product = (nn.functional.silu(model.gate(inputs)) * model.up(inputs)).double().numpy()
    weights = model.down.weight.detach().double().numpy().T
    said = removals(np.cov(product.T, bias=True), weights).removable(0.01)
    assert gate.removable == up.removable == pytest.approx(said)
    assert gate.group == up.group == "gate+up"
    assert gate.note == "5 units of gate+up, read by down"


def test_a_report_that_was_interrupted_goes_on_to_the_same_figures(tmp_path, monkeypatch):
    kept = replace(OPTIONS, journal=tmp_path / "kept.jsonl")
    whole, calls, real = report(mlp(), examples(), options=OPTIONS), [], removal.removal

    def interrupted(part, *others):
        calls.append(part.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(part, *others)

    monkeypatch.setattr(removal, "removal", interrupted)
    with pytest.raises(KeyboardInterrupt):
        report(mlp(), examples(), options=kept)
    result = report(mlp(), examples(), options=kept)
    assert calls == ["0", "2", "2", "4"]
    assert [replace(row, seconds=None) for row in result.layers] == [replace(row, seconds=None) for row in whole.layers]


def test_chosen_layers_have_the_figures_of_the_whole_report():
    model = Residual().eval()
    whole = {row.layer: row for row in report(model, images(), options=OPTIONS).layers}
    chosen = report(model, images(), ["inner", "stem"], OPTIONS).layers
    assert [row.layer for row in chosen] == ["stem", "inner"]
    assert all(replace(row, seconds=None) == replace(whole[row.layer], seconds=None) for row in chosen)


def test_layers_that_share_their_weights_lose_no_units():
    model = mlp((6, 6, 6, 3))
    model[2].weight = model[0].weight
    rows = report(model, examples(), options=OPTIONS).layers
    assert [row.removable is None for row in rows] == [True, True, True]
    assert rows[0].note == "its weights are shared with 2: no unit can go from one alone"


def test_a_layer_read_twice_is_judged_by_both_readers():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.left, self.right = nn.Linear(6, 5), nn.Linear(5, 3), nn.Linear(5, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            hidden = self.first(inputs).relu()
            return self.left(hidden) + self.right(hidden)

    row, *_ = report(Twice(), examples(), options=OPTIONS).layers
    assert (row.read_by, row.removes) == ("several layers", "unit")
    assert row.removable is not None
    assert row.k99 is not None


def test_positions_of_a_convolution_count_as_outputs():
    conv, grouped = nn.Sequential(nn.Conv2d(4, 6, 3)), nn.Sequential(nn.Conv2d(4, 6, 3, groups=2))
    [part] = parts_of(conv)
    wide = outgoing(part, 4)
    assert wide.shape == (4, 54)
    assert np.square(wide).sum(axis=1) == pytest.approx(conv[0].weight.detach().square().sum(dim=(0, 2, 3)).numpy())
    [part] = parts_of(grouped)
    norms = np.square(outgoing(part, 4)).sum(axis=1)
    assert norms[:2] == pytest.approx(grouped[0].weight[:3].detach().square().sum(dim=(0, 2, 3)).numpy())
    flat = nn.Sequential(nn.Linear(12, 5))
    [part] = parts_of(flat)
    assert outgoing(part, 4)[1].sum() == pytest.approx(flat[0].weight[:, 3:6].sum().item(), rel=1e-4)


def test_duplicate_and_dead_units_can_be_removed():
    model = mlp((6, 40, 20, 3))
    with torch.no_grad():
        for layer in (model[0].weight, model[0].bias):
            layer[10:30] = layer[:10].repeat(2, *[1] * (layer.ndim - 1))  # copies
            layer[30:] = 0  # dead
    row, *_ = report(model, examples(400), options=OPTIONS).layers
    assert row.removable >= 0.75
    assert row.k99 <= 10


def test_the_null_of_a_dense_layer_is_that_of_a_uniform_draw():
    model = mlp((200, 300, 300, 3))
    with torch.no_grad():
        model[2].weight.mul_(torch.randn(300, 300).pow(4))  # a trained layer may be anything
    row = report(model, examples(100, 200), options=OPTIONS, importance="magnitude").layers[1]
    assert row.null.utilisation == pytest.approx(0.824, abs=5e-3)
    assert row.null.gini == pytest.approx(1 / 3, abs=5e-3)
    assert row.metrics.utilisation < 0.3


@pytest.mark.parametrize("size", [7, 50])
def test_batches_change_no_figure(size):
    whole = report(Residual().eval(), images(), options=OPTIONS, importance=["wanda", "activation"])
    torch.manual_seed(0)
    [(inputs, labels)] = images()
    parts = list(zip(inputs.split(size), labels.split(size), strict=True))
    model = Residual().eval()
    first = report(model, parts, options=OPTIONS, importance=["wanda", "activation"])
    second = report(model, images(), options=replace(OPTIONS, batch=9), importance=["wanda", "activation"])
    for one, other in zip(first.layers, second.layers, strict=True):
        assert one.metrics.entropy == pytest.approx(other.metrics.entropy, rel=1e-5)
        assert one.participation == pytest.approx(other.participation, rel=1e-3)
    assert len(whole.layers) == 10


def test_scaling_a_layer_changes_only_what_depends_on_scale():
    model = mlp()
    before = report(model, examples(), options=OPTIONS, importance="magnitude").layers[1]
    with torch.no_grad():
        model[2].weight.mul_(0.001)
    after = report(model, examples(), options=OPTIONS, importance="magnitude").layers[1]
    assert after.metrics.gini == pytest.approx(before.metrics.gini)
    assert after.metrics.utilisation == pytest.approx(before.metrics.utilisation)
    assert after.metrics.sparsity_1e3 == 1 > before.metrics.sparsity_1e3


def test_zero_weights_have_a_defined_row():
    model = mlp()
    with torch.no_grad():
        model[2].weight.zero_()
    result = report(model, examples(), options=OPTIONS, importance=list(KINDS))
    document = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    rows = [row for row in document["rows"] if row["layer"] == "2"]
    assert len(rows) == len(KINDS)
    for row in rows:
        if row["importance"] != "gradient":
            assert (row["effective"], row["redundancy"], row["gini"]) == (0, 1, 0)
            assert "redundant as a whole" in row["note"]


def test_results_are_tables_words_and_pages():
    result = report(mlp(), examples(), options=OPTIONS, importance=["activation", "magnitude"])
    assert len(result.frame()) == 6
    assert list(result.frame("network")["importance"]) == ["activation", "magnitude"]
    assert {"utilisation", "null_utilisation", "removable", "k99"} <= set(result.frame().columns)
    assert "compression potential" in result.words()
    assert "<table>" in result._repr_html_()
    with pytest.raises(ConfigError, match="tables of a report"):
        result.rows("units")


def test_recommendations_name_their_amount():
    model = mlp((6, 40, 20, 3))
    with torch.no_grad():
        model[0].weight[20:] = 0
        model[0].bias[20:] = -1
    result = report(model, examples(400), options=OPTIONS)
    first = result.recommendations()[0]
    assert first.layer == "0"
    assert 20 <= first.remove <= 40 - max(first.k99, 2)
    assert f"Remove {first.remove} of the 40 units of 0" in result.words()
    assert result.frame("recommendations")["remove"][0] == first.remove


def test_two_networks_side_by_side():
    small, large = mlp(), mlp((6, 16, 5, 3))
    both = compare(
        report(small, examples(), options=OPTIONS, name="small"),
        report(large, examples(), options=OPTIONS, name="large"),
    )
    row = both.rows()[0]
    assert (row["units small"], row["units large"]) == (8, 16)
    assert "small: " in both.words()
    assert "large" in both._repr_html_()
    assert both.to_dict()["networks"] == ["small", "large"]


def test_the_network_is_left_as_it_was():
    model = Residual()
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report(model, images(), options=OPTIONS, importance=list(KINDS))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_few_examples_are_noted_and_none_refused():
    row, *_ = report(mlp(), examples(20), options=OPTIONS).layers
    assert row.note == "20 rows of activations are few for 8 units: give at least 40"
    with pytest.raises(DataError, match="at least one example"):
        report(mlp(), [], options=OPTIONS)


def test_what_cannot_be_measured_is_refused():
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(6, 3), nn.Linear(6, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.used(inputs)

    with pytest.raises(LayerError, match="'spare' did not run"):
        report(Unused(), examples(), options=OPTIONS)
    broken = mlp()
    broken[0].weight.data[0, 0] = float("nan")
    with pytest.raises(LayerError, match="activations must be finite"):
        report(broken, examples(), options=OPTIONS)
    quantised = torch.ao.quantization.quantize_dynamic(mlp(), {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(LayerError, match="quantised"):
        report(quantised, examples(), options=OPTIONS)
