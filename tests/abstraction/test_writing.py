"""The values written for booleans are those of the definitions, for layers of every kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ndg
from ndg.abstraction import writing
from ndg.abstraction.passes import Passes
from ndg.activations.compute import compute_batches
from ndg.errors import ConfigError
from tests.abstraction.test_passes import images, tokens

CASES = [(images, "second", "first"), (images, "latent", "first"), (tokens, "act", "first"), (tokens, "act", "mean")]


def setting(made, layer, reading):
    model, loader = made()
    graph = ndg.mine(ndg.extract(model, loader, layers=[layer], binarizer="median", tokens=reading), alpha=1.5)
    known = [Passes.of(model, graph, [layer]).known(batch) for batch in compute_batches(loader, 16)]
    outputs = torch.cat([one.outputs[layer][: one.batch.count] for one in known])
    bits = np.concatenate([one.bits[layer] for one in known])
    return model, loader, graph, known[0], outputs, bits


def axis(site, array, unit):
    """What belongs to a unit, of an array `[example, ...]`."""
    return array[..., unit] if site.kind == "tokens" else array[:, unit]


@pytest.mark.parametrize(("made", "layer", "reading"), CASES)
def test_booleans_are_written_as_zero_and_one(made, layer, reading):
    model, _loader, graph, known, _outputs, bits = setting(made, layer, reading)
    way = writing.fit("boolean", model, graph, None, [layer])
    site, output = known.sites[layer], known.outputs[layer]
    values = way.values(site, known.bits[layer], known.numbers, output)
    assert values.shape == output.shape
    assert way.examples == 0
    for unit in range(site.units):
        for row in range(16):
            assert (axis(site, values, unit)[row] == float(bits[row, unit])).all()


@pytest.mark.parametrize(("made", "layer", "reading"), CASES)
def test_means_are_those_of_the_examples_with_the_boolean(made, layer, reading):
    model, loader, graph, known, outputs, bits = setting(made, layer, reading)
    way = writing.fit("mean", model, graph, loader, [layer], batch=16)
    site, output = known.sites[layer], known.outputs[layer]
    rng = np.random.default_rng(0)
    wanted = rng.random((16, site.units)) < 0.5
    values = way.values(site, wanted, known.numbers, output)
    assert way.examples == len(bits)
    for unit in range(site.units):
        for row in range(16):
            among = bits[:, unit] == wanted[row, unit]
            expected = axis(site, outputs, unit)[among].mean(dim=0) if among.any() else axis(site, output, unit)[row]
            assert torch.allclose(axis(site, values, unit)[row], expected, atol=1e-5)


@pytest.mark.parametrize(("made", "layer", "reading"), CASES)
def test_resampled_values_are_those_of_an_example_with_the_boolean(made, layer, reading):
    model, loader, graph, known, outputs, bits = setting(made, layer, reading)
    way = writing.fit("resample", model, graph, loader, [layer], seed=5, batch=16)
    site, output = known.sites[layer], known.outputs[layer]
    wanted = np.random.default_rng(1).random((16, site.units)) < 0.5
    values = way.values(site, wanted, known.numbers, output)
    taken = set()
    for unit in range(site.units):
        for row in range(16):
            among = bits[:, unit] == wanted[row, unit]
            if not among.any():
                continue
            same = (axis(site, outputs, unit) == axis(site, values, unit)[row]).reshape(len(bits), -1).all(dim=1)
            assert same.numpy()[among].any()
            taken.add(int(np.flatnonzero(same.numpy() & among)[0]))
    assert len(taken) > 5
    part = way.values(site, wanted[4:9], known.numbers[4:9], output[4:9])
    assert torch.equal(part, values[4:9])  # the draw belongs to the example
    assert not torch.equal(way.values(site, wanted, known.numbers + 100, output), values)


def test_a_boolean_that_was_never_seen_leaves_the_activation():
    model, loader, graph, known, _, _ = setting(images, "latent", "first")
    graph = ndg.mine(ndg.extract(model, loader, layers=["latent"]), alpha=1.5)
    known = Passes.of(model, graph, ["latent"]).known(known.batch)
    for name in ("mean", "resample"):
        way = writing.fit(name, model, graph, loader, ["latent"])
        never = ~known.bits["latent"].any(axis=0) & (way.seen["latent"][1] == 0)
        always = way.seen["latent"][0] == 0
        values = way.values(
            known.sites["latent"], np.ones((16, 5), np.bool_) & ~always, known.numbers, known.outputs["latent"]
        )
        for unit in np.flatnonzero(never | always):
            assert torch.equal(values[:, unit], known.outputs["latent"][:, unit])


def test_the_choice_of_a_writing():
    model, loader, graph, *_ = setting(images, "latent", "first")
    assert writing.choose("auto", graph) == "mean"
    half = ndg.mine(ndg.extract(model, loader, layers=["latent"], binarizer="half"), alpha=1.5)
    assert writing.choose("auto", half) == "boolean"
    with pytest.raises(ConfigError, match=r"boolean, mean, resample; got 'means'.*mean"):
        writing.choose("means", graph)
    with pytest.raises(ConfigError, match="pass fit=LOADER"):
        writing.fit("mean", model, graph, None, ["latent"])
