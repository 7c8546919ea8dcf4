"""Counterfactual data are what a trial writes, and come back from disk as they were or not at all."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import ndg
from ndg.counterfactual import CounterfactualSet, counterfactual_set
from ndg.errors import CheckpointError, ConfigError, DataError, GraphError, LayerError, ShapeError
from tests.counterfactual.small import graph_of, loaders, network
from tests.references.trial import choice, draw

OPTIONS = ndg.RunOptions(seed=4)


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def graph(model):
    return graph_of(model)


@pytest.fixture(scope="module")
def data(model, graph):
    return counterfactual_set(model, graph, loaders()["train"], options=OPTIONS)


@pytest.mark.parametrize("intervention", ["Q", "G.1", "G.2"])
def test_each_row_is_what_the_definition_says(model, graph, intervention):
    """Beside a transcription of the definitions, example by example."""
    found = counterfactual_set(model, graph, loaders()["train"], intervention, options=OPTIONS)
    inputs, true = (torch.cat(part) for part in zip(*loaders()["train"], strict=True))
    latents = model.latent(model.encoder(inputs)).detach().numpy()
    for row in range(len(found)):
        t = int(true[row])
        others = [label for label in range(3) if label != t]
        other = others[draw(4, "alternatives", row, 1)[0] % 2]
        units, _ = choice(intervention, graph.implications, "latent", t, other)
        expected = latents[row] > 0.5
        for unit, value in units.items():
            expected[unit] = value
        assert (found.examples[row], found.true[row], found.alternative[row]) == (row, t, other)
        assert found.booleans[row].tolist() == expected.tolist()
        assert set(np.flatnonzero(found.named[row])) == set(units)
    np.testing.assert_allclose(found.latents, latents, atol=1e-6)
    assert found.named.any()


def test_batches_do_not_change_the_booleans(model, graph, data):
    inputs, true = (torch.cat(part) for part in zip(*loaders()["train"], strict=True))
    for size in (1, 7, len(true)):
        again = counterfactual_set(
            model, graph, list(zip(inputs.split(size), true.split(size), strict=True)), options=OPTIONS
        )
        assert again == data


def test_what_is_loaded_is_what_was_saved(data, graph, tmp_path):
    path = data.save(tmp_path / "some" / "set.safetensors")
    assert CounterfactualSet.load(path, graph) == data
    assert CounterfactualSet.load(path) == data
    assert list(path.parent.iterdir()) == [path]


def test_other_contents_are_not_equal(data):
    flipped = replace(data, booleans=~data.booleans)
    assert flipped != data
    assert replace(data, origin=replace(data.origin, seed=5)) != data
    assert data != "data"


def test_a_file_of_another_graph_is_refused(model, data, tmp_path):
    other = graph_of(model, alpha=2)
    path = data.save(tmp_path / "set.safetensors")
    with pytest.raises(GraphError, match=f"expected digest {other.digest}, the file has {data.origin.graph}"):
        CounterfactualSet.load(path, other)
    with pytest.raises(GraphError, match="go with the graph"):
        data.check(model, other)


def test_another_network_is_refused(data, graph):
    with pytest.raises(CheckpointError, match=f"expected digest {data.origin.network}"):
        data.check(network(seed=1), graph)


@pytest.mark.parametrize("place", [0.01, 0.3, 0.6, 0.99])
def test_a_damaged_file_is_refused_wherever_a_byte_is_wrong(data, tmp_path, place):
    path = data.save(tmp_path / "set.safetensors")
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 64
    path.write_bytes(content)
    with pytest.raises(DataError, match="must be a whole file of counterfactual data"):
        CounterfactualSet.load(path)


def test_a_file_that_is_cut_foreign_or_missing_is_refused(data, tmp_path):
    path = data.save(tmp_path / "set.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="damaged or another program's"):
        CounterfactualSet.load(path)
    from safetensors.numpy import save_file

    save_file({"weights": np.zeros(3)}, path)
    with pytest.raises(DataError, match="damaged or another program's"):
        CounterfactualSet.load(path)
    with pytest.raises(DataError, match=re.escape("there is no file")):
        CounterfactualSet.load(tmp_path / "nothing")


def test_what_does_not_fit_is_said(model, graph, data):
    train = loaders()["train"]
    with pytest.raises(ConfigError, match="nearest: Q"):
        counterfactual_set(model, graph, train, "q")
    with pytest.raises(GraphError, match="no layer 'label'"):
        counterfactual_set(model, graph, train, layer="label")
    with pytest.raises(GraphError, match="no layer 'decoder'"):
        counterfactual_set(model, graph, train, layer="decoder")
    with pytest.raises(DataError, match="true labels"):
        counterfactual_set(model, graph, [inputs for inputs, _ in train])
    with pytest.raises(DataError, match="the loader gave none"):
        counterfactual_set(model, graph, [])
    with pytest.raises(ShapeError, match="the graph is of another network"):
        counterfactual_set(network(latents=5), graph, train, any_network=True)
    shuffles = DataLoader(TensorDataset(*map(torch.cat, zip(*train, strict=True))), shuffle=True)
    with pytest.raises(DataError, match="shuffle=False"):
        counterfactual_set(model, graph, shuffles)
    with pytest.raises(ConfigError, match="at least 1 thread"):
        counterfactual_set(model, graph, train, options=ndg.RunOptions(threads=0))
    with pytest.raises(DataError, match=r"Small given .* raised RuntimeError"):
        counterfactual_set(model, graph, [(x[:, :4], y) for x, y in train])
    out = ndg.mine(ndg.extract(model, train, ["decoder"], settings=ndg.ReadingSettings(binarizer="median")), alpha=1.1)
    with pytest.raises(LayerError, match="'decoder' is the logits"):
        counterfactual_set(model, out, train)
    two = ndg.mine(ndg.extract(model, train, ["encoder", "latent"]), alpha=5)
    with pytest.raises(GraphError, match="pass layer="):
        counterfactual_set(model, two, train)
    with pytest.raises(DataError, match="two different classes"):
        replace(data, alternative=data.true)
    with pytest.raises(ShapeError, match="one row per example"):
        replace(data, examples=data.examples[:-1])
