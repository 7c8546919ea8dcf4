"""Reports of networks with shared readers, few examples, residual widths and weights that are refused."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from ndg.efficiency.measure import report
from ndg.errors import LayerError
from tests.compression.networks import network
from tests.efficiency.test_report import OPTIONS, examples, mlp


class Twice(nn.Module):
    """A layer whose outputs are read by one that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(self.first(inputs))
        return self.last(torch.relu(self.again(torch.relu(self.again(hidden)))))


def test_units_of_layers_whose_reader_runs_twice_or_shares_its_weights_have_no_share():
    first, again, _ = report(Twice(), examples(), options=OPTIONS).layers
    assert first.removable is None
    assert first.read_by == "again, which runs several times"
    assert "a further call of the layer takes them" in again.note
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    model[4].bias = model[2].bias
    assert "2, which reads it, shares its weights with 4" in report(model, examples(), options=OPTIONS).layers[0].note


def test_few_examples_make_a_recommendation_uncertain():
    model = mlp((6, 40, 20, 3))
    with torch.no_grad():
        model[0].weight[20:] = 0
    [few, *_] = report(model, examples(60), options=OPTIONS).recommendations()
    assert "(uncertain: 60 rows of activations are few for 40 units: give at least 200)." in few.words()
    [enough, *_] = report(model, examples(400), options=OPTIONS).recommendations()
    assert "uncertain" not in enough.words()


def test_a_residual_width_that_could_shrink_is_named_and_not_recommended():
    class Added(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner, self.last = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            wide = self.first(inputs)
            return self.last(wide + self.inner(torch.relu(wide)))

    model = Added()
    with torch.no_grad():
        for layer in (model.first, model.inner):
            layer.weight[6:] = 0
            layer.bias[6:] = 0
    result = report(model, examples(400), options=OPTIONS)
    [(name, share)] = result.left_alone()
    assert (name, share) == ("first", pytest.approx(0.5, abs=0.2))
    assert name not in {each.layer for each in result.recommendations()}
    assert f"The residual width that first shares has a removable share of {share:.0%}, and is not" in result.words()


@pytest.mark.parametrize("weight", [torch.ones(8, 6, dtype=torch.complex64), torch.ones(8, 6).to_sparse()])
def test_weights_that_are_no_dense_real_tensors_are_refused(weight):
    model = mlp()
    del model[0].weight
    model[0].register_buffer("weight", weight)
    with pytest.raises(LayerError, match=r"dense tensors of real numbers; those of '0' \(Linear\) are torch\."):
        report(model, examples(), options=OPTIONS)


def test_no_layers_and_very_large_weights_are_refused():
    with pytest.raises(LayerError, match="at least one layer is needed; got none"):
        report(mlp(), examples(), [], options=OPTIONS)
    model = mlp()
    with torch.no_grad():
        model[0].weight[0, 0] = 1e30
    with pytest.raises(LayerError, match="or their squares are not"):
        report(model, examples(), options=OPTIONS)
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 3)))
    assert report(normed, examples(), options=OPTIONS).layers
    with pytest.raises(LayerError, match="the weights of '0' are computed from others"):
        report(normed, examples(), options=OPTIONS, importance="taylor")


@pytest.mark.parametrize("name", ["resnet", "stacked"])
def test_one_example_has_a_defined_report(name):
    model, inputs = network(name)
    result = report(model, [inputs[:1]], options=OPTIONS)
    assert json.dumps(result.to_dict(), allow_nan=False)
    assert any("too few examples" in layer.note or " are few for " in layer.note for layer in result.layers)
