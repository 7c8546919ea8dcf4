"""Fitness as a registered score: every measure equals its definition, and costs no pass that it does not need."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ndg
from ndg.errors import CheckpointError, ConfigError, DataError, LayerError
from ndg.importance.evaluation.spec import scored
from ndg.importance.fitness.measure import COMPOSITE, MEASURES, fitness
from ndg.models import checkpoint
from tests.importance.test_fitness import Shuffled, conv, examples
from tests.references import fitness as reference

LAYER = "encoder.2"


def by(measure, model=None, data=None, **own):
    model, data = model or conv().eval(), data or examples()
    return ndg.score(model, data, [LAYER], "fitness", measure=measure, **own)


@pytest.mark.parametrize("measure", ["gradient", "taylor", "activation", "variance", "entropy", "correlation"])
def test_a_measure_of_outputs_equals_its_definition(measure):
    model, [(x, y)] = conv().eval(), examples()
    expected = [figures[measure] for figures in reference.of_layer(model.encoder, model.head, x, y)]
    np.testing.assert_allclose(by(measure, model)[LAYER], expected, rtol=1e-5, atol=1e-9)


def test_ablation_is_the_loss_without_a_neuron_minus_the_loss():
    model, [(x, y)] = conv().eval(), examples()
    with torch.no_grad():
        outputs = model.encoder(x)
        whole = F.cross_entropy(model.head(outputs).double(), y).item()
        expected = []
        for unit in range(5):
            without = outputs.clone()
            without[:, unit] = 0
            expected.append(F.cross_entropy(model.head(without).double(), y).item() - whole)
    np.testing.assert_allclose(by("ablation", model)[LAYER], expected, rtol=1e-4, atol=1e-7)
    assert min(expected) < 0


def test_weights_are_norms_of_each_neurons_own_weights():
    model = conv().eval()
    np.testing.assert_allclose(by("weights", model)[LAYER], model.encoder[0].weight.detach().flatten(1).norm(dim=1))
    readers = model.head[0].weight.detach().transpose(0, 1).flatten(1).norm(dim=1)
    np.testing.assert_allclose(by("outgoing", model)[LAYER], readers, rtol=1e-6)


def test_a_composite_is_the_weighted_sum_of_standardised_terms():
    model = conv().eval()
    for own in ({}, {"weights": 1, "gradient": 0, "activation": 0, "variance": 2}, {"ablation": 3}):
        weights = COMPOSITE | own
        terms = {name: by(name, model)[LAYER] for name, weight in weights.items() if weight}
        expected = sum(weights[name] * (term - term.mean()) / term.std() for name, term in terms.items())
        np.testing.assert_allclose(by("composite", model, **own)[LAYER], expected - expected.min(), atol=1e-9)


def test_change_is_relative_to_an_earlier_checkpoint(tmp_path):
    model = conv().eval()
    checkpoint.write(tmp_path / "before.safetensors", model.state_dict(), {})
    with torch.no_grad():
        model.encoder[0].weight[3] *= 1.5
    own = f"fitness:measure=change,before={tmp_path / 'before.safetensors'}"
    np.testing.assert_allclose(scored(model, examples(), [LAYER], own)[LAYER], [0, 0, 0, 0.5, 0], atol=1e-7)
    checkpoint.write(tmp_path / "other.safetensors", {"encoder.0.weight": torch.zeros(4, 1, 3, 3)}, {})
    with pytest.raises(
        ConfigError, match=r"has no encoder\.0\.weight of shape \(5, 1, 3, 3\); give a checkpoint of an"
    ):
        by("change", model, before=str(tmp_path / "other.safetensors"))
    with pytest.raises(CheckpointError, match="does not exist"):
        by("change", model, before=str(tmp_path / "none"))


@pytest.mark.parametrize("measure", sorted({*MEASURES} - {"change"}))
def test_a_frozen_network_has_the_same_fitness(measure):
    model = conv().eval()
    expected = by(measure, model)[LAYER]
    np.testing.assert_array_equal(by(measure, model.requires_grad_(False))[LAYER], expected)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_passes_that_a_measure_does_not_need_are_not_made():
    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.grad = conv(), []

        def forward(self, x):
            self.grad.append(torch.is_grad_enabled())
            return self.net(x)

    expected = {"activation": [False], "taylor": [True], "variance": [False, False], "correlation": [False]}
    for measure, passes in expected.items():
        model = Counted().eval()
        facts = ndg.score(model, examples(), ["net.encoder.2"], "fitness", measure=measure).facts
        assert model.grad[-len(passes) :] == passes
        assert facts["forward_passes"] == len(passes)
        assert facts["backward_passes"] == sum(passes)


def test_measures_can_be_chosen_and_keep_their_values():
    model = conv().eval()
    whole, some = fitness(model, examples(), [LAYER]), fitness(model, examples(), [LAYER], measures=["variance"])
    assert set(some.values[LAYER]) == {"variance", "on"}
    np.testing.assert_array_equal(some.values[LAYER]["variance"], whole.values[LAYER]["variance"])
    assert "ablation" not in whole.values[LAYER]
    with pytest.raises(ConfigError, match="nearest: variance"):
        fitness(model, examples(), [LAYER], measures=["varianc"])


def test_what_cannot_be_scored_is_refused():
    model, [(x, y)] = conv().eval(), examples()
    with pytest.raises(ConfigError, match="a measure of fitness is a known one; got 'taylr'; nearest: taylor"):
        by("taylr")
    with pytest.raises(ConfigError, match="not all 0"):
        by("composite", weights=0, gradient=0, activation=0)
    with pytest.raises(ConfigError, match="change compares with the checkpoint of an earlier epoch"):
        by("change")
    right = model(x).argmax(dim=1) == y
    with pytest.raises(DataError, match="correlation compares correct with wrong predictions; got 0 correct ones of"):
        by("correlation", model, [(x[~right], y[~right])])
    data = [(torch.randn(8, 6), torch.randint(0, 3, (8,)))]
    with pytest.raises(LayerError, match="'act' has not: its units cannot be traced"):
        ndg.score(Shuffled(), data, ["act"], "fitness", measure="outgoing")
