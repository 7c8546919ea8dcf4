"""Figures of an efficiency report hold the numbers of the report."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import nn

from ndg.efficiency import pathways, report
from ndg.efficiency.sensitivity import sensitivity
from ndg.errors import ConfigError
from ndg.options import RunOptions
from ndg.report import efficiency_plots as plots
from tests.overlaps import labels, outside, overlaps

OPTIONS = RunOptions(progress=False)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def data(n: int = 100):
    return [(torch.randn(n, 6, generator=torch.Generator().manual_seed(0)), torch.arange(n) % 3)]


def test_lines_are_the_curves_of_the_layers():
    result = report(network(), data(), options=OPTIONS)
    left, right = plots.importance_distribution(result).axes
    assert [line.get_label() for line in left.lines] == ["0", "2"]
    np.testing.assert_allclose(right.lines[0].get_ydata(), result.layers[0].lorenz)
    assert sum(left.lines[0].get_ydata()) == pytest.approx(1)
    removable = plots.layer_comparison(result).axes[0]
    assert removable.patches[0].get_width() == result.layers[0].removable
    measured = {"0": [(0.0, 0.9), (0.5, 0.7)]}
    predicted, accuracies = plots.pruning_sensitivity(result, measured).axes
    assert predicted.lines[0].get_ydata()[-1] == pytest.approx(1, rel=0.1)
    assert list(accuracies.lines[0].get_ydata()) == [0.9, 0.7]


def test_labels_neither_overlap_nor_leave_the_figure():
    torch.manual_seed(0)
    parts = {}
    for number in range(5):
        parts |= {f"encoder_block_{number}_attention_output": nn.Linear(6, 6), f"relu_{number}": nn.ReLU()}
    model = nn.Sequential(OrderedDict(parts, out=nn.Linear(6, 3)))
    result = report(model, data(), options=OPTIONS)
    curves = {layer.layer: [(0.0, 0.9), (0.5, 0.7)] for layer in result.layers}
    figures = (
        plots.importance_distribution(result),
        plots.layer_comparison(result),
        plots.pruning_sensitivity(result, curves),
        plots.pathway_graph(pathways(model, data(), options=OPTIONS)),
    )
    for figure in figures:
        FigureCanvasAgg(figure)
        assert overlaps(labels(figure)) == []
        assert outside(figure) == []


def test_a_figure_has_ids_of_its_own():
    figure = plots.layer_comparison(report(network(), data(), options=OPTIONS))
    text = plots.svg(figure, "mine")
    assert text.count('id="mine-') == text.count(' id="')


def test_an_importance_that_was_not_measured_is_refused():
    with pytest.raises(ConfigError, match="has importance by activation; got 'wanda'"):
        plots.layer_comparison(report(network(), data(), options=OPTIONS), "wanda")


def test_sensitivity_zeroes_the_least_important_weights():
    model, [(inputs, labels)] = network(), data()
    curves = sensitivity(model, data(), data(), ["2"], OPTIONS, importance="magnitude", shares=(0, 0.5, 1))
    weight = model[2].weight.detach().clone()
    lowest = weight.abs().flatten().argsort()[:12]
    with torch.no_grad():
        before = float((model(inputs).argmax(dim=1) == labels).float().mean())
        model[2].weight.view(-1)[lowest] = 0
        half = float((model(inputs).argmax(dim=1) == labels).float().mean())
    assert curves == {"2": [(0, pytest.approx(before)), (0.5, pytest.approx(half)), (1, curves["2"][2][1])]}
    assert torch.equal(weight.flatten()[lowest] != 0, torch.ones(12, dtype=torch.bool))
