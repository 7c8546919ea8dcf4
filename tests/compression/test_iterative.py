"""Iterative pruning: sizes follow the schedule, what is gone stays gone, and the network given stays as it was."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from ndg import models
from ndg.compression.iterative import PruneSettings, prune_network
from ndg.compression.weight_masks import lowest_weights, weight_fitness, weighted_modules
from ndg.errors import ConfigError, LayerError
from ndg.importance.score import score
from tests.training.small import digits, experiment

TAYLOR = "fitness:measure=taylor"


@pytest.fixture(scope="module")
def case():
    splits, one = digits(), experiment()
    return models.build(one.model, splits.form, splits.classes, 0), one, splits


def test_units_go_in_steps_and_the_given_network_stays(case):
    network, one, splits = case
    before = copy.deepcopy(network.state_dict())
    settings = PruneSettings(TAYLOR, 0.5, steps=2, schedule="linear", epochs=1)
    result, pruned = prune_network(network, one, splits, settings)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    rows = [row for row in result.rows() if row["method"] == TAYLOR]
    assert [row["gone"] for row in rows] == [6 + 2 + 6, 12 + 4 + 12]
    assert pruned.network.encoder.fc1.out_features == 12
    assert rows[-1]["parameters"] == sum(value.numel() for value in pruned.network.parameters())
    gone = [unit for row in pruned.removed if row["layer"] == "encoder.fc1" for unit in row["units"]]
    assert len(set(gone)) == 12
    assert set(gone) <= set(range(24))
    assert [row["method"] for row in result.final] == [TAYLOR, "random", "none"]
    assert result.final[0]["n"] == 90
    assert result.final[2]["parameters"] == sum(value.numel() for value in network.parameters())
    again, same = prune_network(network, one, splits, settings)
    assert again.rows() == result.rows()
    assert all(torch.equal(a, b) for a, b in zip(same.network.parameters(), pruned.network.parameters(), strict=True))


@pytest.mark.parametrize("unstructured", [False, True])
def test_a_pruning_that_was_interrupted_goes_on_to_the_same_result(case, tmp_path, unstructured):
    network, one, splits = case
    settings = PruneSettings("magnitude", 0.5, steps=2, unstructured=unstructured, draws=0)
    whole, expected = prune_network(network, one, splits, settings)

    def stopped_after(count):
        rows = []

        def stop(row):
            rows.append(row)
            if len(rows) == count:
                raise KeyboardInterrupt

        return stop

    for count in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            prune_network(network, one, splits, settings, on_step=stopped_after(count), finished=tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    result, pruned = prune_network(network, one, splits, settings, finished=tmp_path)
    assert (result.rows(), result.final, pruned.removed) == (whole.rows(), whole.final, expected.removed)
    assert all(
        torch.equal(a, b) for a, b in zip(pruned.network.parameters(), expected.network.parameters(), strict=True)
    )
    with pytest.raises(ConfigError, match="a journal goes on with the study and data that it was begun with"):
        prune_network(network, one, splits, replace(settings, share=0.4), finished=tmp_path)
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(ConfigError, match="a pruning goes on with the weights that it wrote"):
        prune_network(network, one, splits, settings, finished=tmp_path)


def test_weights_that_are_gone_stay_at_zero_through_fine_tuning(case):
    network, one, splits = case
    settings = PruneSettings("magnitude", 0.9, steps=3, epochs=2, unstructured=True, draws=0)
    result, pruned = prune_network(network, one, splits, settings)
    weights = {name: value for name, value in pruned.network.named_parameters() if name.endswith("weight")}
    zeros = sum(int((value == 0).sum()) for value in weights.values())
    total = sum(value.numel() for value in weights.values())
    assert zeros == int(0.9 * total) == result.rows()[2]["gone"]
    assert not any(bool(weights[name][~mask].any()) for name, mask in pruned.masks.items())
    assert not all(torch.equal(value, network.get_parameter(name)) for name, value in pruned.network.named_parameters())


def test_no_epoch_leaves_the_weights_that_stay_as_they_were(case):
    network, one, splits = case
    _, pruned = prune_network(
        network, one, splits, PruneSettings("magnitude", 0.5, epochs=0, unstructured=True, draws=0)
    )
    for name, mask in pruned.masks.items():
        assert torch.equal(pruned.network.get_parameter(name), network.get_parameter(name) * mask)


def test_fitness_of_weights_is_the_weight_times_that_of_its_unit(case):
    network, _, splits = case
    loader = list(splits.train[:60].loader(60))
    layers = weighted_modules(network)
    by_hand = score(network, loader, layers, "activation")
    fitness = weight_fitness(network, loader, layers, "activation")
    for layer in layers:
        weight = network.get_parameter(f"{layer}.weight").detach().double()
        expected = weight.abs() * torch.from_numpy(by_hand[layer].copy())[:, None]
        torch.testing.assert_close(fitness[f"{layer}.weight"], expected)
    snip = weight_fitness(network, loader, layers, "snip")
    units = score(network, loader, layers, "snip")
    for layer in layers:  # the registered score sums the weights of a unit
        np.testing.assert_allclose(snip[f"{layer}.weight"].sum(dim=1), units[layer], rtol=1e-6)


def test_weights_are_ranked_together_or_in_each_layer():
    fitness = {"a": torch.tensor([[3.0, 1.0], [2.0, 4.0]]), "b": torch.tensor([[0.1, 0.2], [0.3, 9.0]])}
    fitness = {name: values.double() for name, values in fitness.items()}
    together = lowest_weights(fitness, 0.5, {})
    assert together["a"].tolist() == [[True, False], [True, True]]
    assert together["b"].tolist() == [[False, False], [False, True]]
    each = lowest_weights(fitness, 0.5, {}, scope="each")
    assert each["a"].tolist() == [[True, False], [False, True]]
    masks = {"a": torch.ones(2, 2, dtype=torch.bool), "b": torch.tensor([[True, True], [True, False]])}
    assert lowest_weights(fitness, 0.13, masks)["b"].tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "taylr"}, "known method of importance; got 'taylr'"),
        ({"share": 1.0}, r"a share inside \(0, 1\)"),
        ({"share": 0.0}, r"a share inside \(0, 1\)"),
        ({"share": 0.9}, r"share=0.9 leaves 1 of 8 in 'encoder\.pre'; take at most 0.75"),
        ({"steps": 0}, "in at least 1 step"),
        ({"schedule": "square"}, "linear or cubic"),
        ({"epochs": -1}, "0 or more epochs"),
        ({"layers": ["encoder.fc9"]}, "no such layer; nearest: encoder.fc1"),
        ({"layers": ["latent"], "unstructured": True}, "'latent' is none; choose among encoder.fc1"),
    ],
)
def test_what_cannot_be_pruned_is_refused(case, settings, message):
    network, one, splits = case
    before = copy.deepcopy(network.state_dict())
    with pytest.raises((ConfigError, LayerError), match=message):
        prune_network(network, one, splits, PruneSettings(**{"method": "magnitude", "share": 0.5, **settings}))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
