"""Counterfactual training changes what comes after the layer, toward what the graph asks for, and nothing else."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ndg
from ndg.abstraction.controls import CONTROLS
from ndg.activations.batches import fixed
from ndg.activations.hooks import Trace
from ndg.counterfactual import CounterfactualSet, counterfactual_set
from ndg.counterfactual.training import CounterfactualSettings
from ndg.errors import CheckpointError, ConfigError, DataError, GraphError, LayerError
from ndg.interventions.suffix import Suffix
from ndg.workflows.counterfactual import train_on
from tests.activations.networks import Words, made, sentences
from tests.counterfactual.small import SIZES, graph_of, loaders, network

quick = partial(train_on, settings=CounterfactualSettings(epochs=5, rows=32, learning_rate=0.01))
KINDS = {"alone": False, "beside a skip": True}


def few() -> dict[str, list[tuple[torch.Tensor, torch.Tensor]]]:
    """The loaders without test."""
    return {name: loaders()[name] for name in ("train", "validation")}


class Tied(nn.Module):
    """The layer's own weights are used again after it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(torch.nn.functional.linear(self.first(inputs), self.first.weight)))


@pytest.fixture(scope="module", params=KINDS)
def case(request):
    """A network, its graph, its counterfactual data and what training on them gave."""
    model = network(skip=KINDS[request.param])
    graph = graph_of(model)
    data = counterfactual_set(model, graph, loaders()["train"])
    return model, graph, data, quick(model, graph, data, loaders())


def test_alignment_rises_and_accuracy_stays(case):
    _, _, _, result = case
    rows = {(row["split"], row["stage"]): row for row in result.rows()}
    for split in ("validation", "test"):
        before, after, real = (rows[split, stage] for stage in ("before", "after", "real only"))
        assert before["aligned"] < 0.9  # there is something to learn
        assert after["aligned_low"] > before["aligned_high"]
        assert after["aligned_low"] > real["aligned_high"]
        assert after["accuracy"] > before["accuracy"] - 0.08  # the classes overlap
        assert before["examples"] == SIZES[split]
        assert set(CONTROLS) < set(after)


def test_only_the_parameters_after_the_layer_change_and_only_in_the_copy(case):
    model, graph, data, result = case
    fresh = network(skip=model.skip is not None)
    assert result.model is not model
    for (name, own), (_, old), (_, new) in zip(
        model.named_parameters(), fresh.named_parameters(), result.model.named_parameters(), strict=True
    ):
        assert torch.equal(own, old)
        assert own.requires_grad
        assert new.requires_grad
        assert own.grad is None
        assert new.grad is None
        assert torch.equal(new, old) == (not name.startswith("decoder")), name
    again = counterfactual_set(result.model, graph, loaders()["train"], any_network=True)
    assert np.array_equal(again.latents, data.latents)


def test_rates_are_those_of_trials(case):
    model, graph, _, result = case
    for network_, found in ((model, result.before), (result.model, result.after)):
        expected = ndg.trial(
            network_, graph, loaders()["test"], "Q", settings=ndg.TrialSettings(split="test", any_network=True)
        )
        assert found["test"].tally == expected.tally
        assert found["test"].controls == expected.controls


def test_the_epoch_is_the_best_of_validation_and_the_test_split_is_not_looked_at(case):
    model, graph, data, result = case
    losses = [epoch.validation_loss for epoch in result.histories["after"]]
    assert result.epoch() == int(np.argmin(losses)) > 0
    again = quick(model, graph, data, few())
    assert again.histories == result.histories
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), result.model.parameters(), strict=True))


def test_training_on_a_loaded_set_gives_the_same_network(case, tmp_path):
    model, graph, data, result = case
    loaded = CounterfactualSet.load(data.save(tmp_path / "set.safetensors"), graph)
    torch.manual_seed(1)
    again = quick(model, graph, loaded, loaders())
    assert again.to_dict() == result.to_dict()
    other = train_on(
        model,
        graph,
        loaded,
        few(),
        settings=CounterfactualSettings(epochs=1, rows=32, learning_rate=0.01),
        options=ndg.RunOptions(seed=1),
    )
    assert other.histories["after"][1] != result.histories["after"][1]


def test_the_result_is_plain_and_speaks(case):
    _, _, _, result = case
    document = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert document["epoch"]["after"] == result.epoch()
    assert document["intervention"] == "Q"
    assert len(result.frame()) == 6
    assert f"Q aligns {result.after['test'].tally.rate('aligned'):.3f} after" in result.words()


def test_a_hopeless_rate_leaves_the_network_as_it_was(case):
    model, graph, data, _ = case
    found = train_on(
        model,
        graph,
        data,
        loaders(),
        settings=CounterfactualSettings(epochs=5, rows=32, learning_rate=50.0, patience=2),
    )
    assert found.epoch() == 0
    assert len(found.histories["after"]) == 3
    assert all(torch.equal(a, b) for a, b in zip(found.model.parameters(), model.parameters(), strict=True))


def test_the_rest_of_a_network_on_real_latents_is_the_network(case):
    model, _, data, _ = case
    inputs, _ = (torch.cat(part) for part in zip(*loaders()["train"], strict=True))
    rest = Suffix.of(model, "latent", loaders()["train"], 64)
    assert (rest.recorded is not None) == (model.skip is None)
    chosen = torch.tensor([3, 250, 8, 8, 120])
    with fixed(model):
        expected = model(inputs[chosen])
        found = rest.logits(torch.from_numpy(data.latents)[chosen], chosen)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_gradients_flow_after_the_layer_alone(case):
    model, _, data, _ = case
    rest = Suffix.of(model, "latent", loaders()["train"], 64)
    assert set(rest.parameters()) == {"decoder.0.weight", "decoder.0.bias", "decoder.3.weight", "decoder.3.bias"}
    with fixed(model, grad=True):
        rest.logits(torch.from_numpy(data.latents[:9]), torch.arange(9)).sum().backward()
    touched = {name for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad(set_to_none=True)
    assert touched == set(rest.parameters())


def test_inputs_by_name_are_taken_as_well():
    model, given = made(Words), sentences(20)
    loader = [{**given, "labels": torch.zeros(20, dtype=torch.long)}]
    rest = Suffix.of(model, "pooled", loader, 8)
    with fixed(model), Trace(model, ["pooled"]) as trace:
        expected = model(**given)
        torch.testing.assert_close(rest.logits(trace["pooled"][3:9], torch.arange(3, 9)), expected[3:9])
    assert set(rest.parameters()) == {"out.weight", "out.bias"}


def test_weights_that_also_act_before_the_layer_are_left():
    model = Tied()
    rest = Suffix.of(model, "first", loaders()["train"], 16)
    assert set(rest.parameters()) == {"out.weight", "out.bias"}


def test_nothing_to_train_is_said():
    with pytest.raises(LayerError, match="no parameter acts after '0'"):
        Suffix.of(nn.Sequential(nn.Linear(6, 3), nn.Tanh()), "0", loaders()["train"], 16).parameters()


def test_what_does_not_fit_is_said(case):
    model, graph, data, _ = case
    given = loaders()
    with pytest.raises(ConfigError, match="mix is the share"):
        train_on(model, graph, data, given, settings=CounterfactualSettings(mix=1.5))
    with pytest.raises(ConfigError, match="at least 1 epoch"):
        train_on(model, graph, data, given, settings=CounterfactualSettings(epochs=0))
    with pytest.raises(DataError, match="add the split"):
        quick(model, graph, data, {"train": given["train"]})
    with pytest.raises(GraphError, match="go with the graph"):
        quick(model, graph_of(model, alpha=2), data, given)
    with pytest.raises(CheckpointError, match="latents of one network"):
        quick(network(seed=1, skip=model.skip is not None), graph, data, given)
    columns = map(torch.cat, zip(*given["train"], strict=True))
    with pytest.raises(DataError, match="shuffle=False"):
        quick(model, graph, data, given | {"train": DataLoader(TensorDataset(*columns), shuffle=True)})
    with pytest.raises(DataError, match="made from: 300 examples, but the loader of train has 64"):
        quick(model, graph, data, given | {"train": given["train"][:1]})
    inputs, true = map(torch.cat, zip(*given["train"], strict=True))
    with pytest.raises(DataError, match=r"their true classes, but .* of the loader of train differ"):
        quick(model, graph, data, given | {"train": [(inputs.roll(1, 0), true.roll(1))]})
    moved = inputs.clone()
    moved[-1] += 1  # in the last compute batch
    with pytest.raises(DataError, match="their latents, but those of the loader of train differ by up to"):
        quick(model, graph, data, given | {"train": [(moved, true)]})
