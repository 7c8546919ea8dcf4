"""Graphs of one layer in several bases, side by side."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import ndg
from ndg.abstraction.controls import CONTROLS
from ndg.abstraction.tally import Tally
from ndg.errors import ConfigError
from ndg.rotation.basis import localist, random_rotation
from ndg.rotation.interchange import Interchanged
from ndg.rotation.principal import pca
from ndg.workflows.bases import BasisSettings, compare
from tests.counterfactual.small import loaders, network

UNITS = 8


@pytest.fixture(scope="module")
def found():
    model, given = network(), loaders()
    bases = [localist("latent", UNITS), pca(model, given["train"], "latent"), random_rotation("latent", UNITS)]
    return compare(model, given["train"], given["test"], bases, settings=BasisSettings(alpha=5, split="test"))


def test_every_basis_has_its_graph_and_its_trial(found):
    rows = found.rows()
    assert [row["basis"] for row in rows] == ["localist", "pca", "random"]
    for row, basis in zip(rows, found.bases, strict=True):
        assert row["implications"] == len(basis.graph.implications) > 0
        assert 0 <= row["label_implications"] <= row["implications"]
        assert row["held_out_precision_low"] <= row["held_out_precision"] <= row["held_out_precision_high"]
        assert row["held_out_prior"] < row["held_out_precision"]
        assert row["aligned_low"] <= row["aligned"] <= row["aligned_high"]
        assert set(CONTROLS) <= set(row)
        assert row["n"] == rows[0]["n"]  # the function is the same
        assert [layer.name for layer in basis.graph.nodes.layers] == ["latent.rotated"]


def test_the_localist_graph_is_that_of_the_layer_at_its_median(found):
    model, given = network(), loaders()
    bits = ndg.extract(model, given["train"], ["latent"], settings=ndg.ReadingSettings(binarizer="median"))
    graph, own = ndg.mine(bits, alpha=5), found.bases[0]
    assert np.array_equal(graph.implications.antecedents, own.graph.implications.antecedents)
    assert np.array_equal(graph.implications.consequents, own.graph.implications.consequents)
    held = graph.held_out(ndg.extract(model, given["test"], like=bits))
    assert (own.figures.judged, own.figures.precision) == (held.judged, held.precision)


def test_figures_are_those_of_a_trial_of_the_rotated_network(found):
    model, given = network(), loaders()
    turned = pca(model, given["train"], "latent").apply(model)
    graph = found.bases[1].graph
    expected = ndg.trial(
        turned, graph, given["test"], "Q", fit=given["train"], settings=ndg.TrialSettings(split="test", values="mean")
    )
    assert expected.controls == found.bases[1].trial.controls


def test_it_is_plain_and_speaks(found):
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["split"] == "test"
    assert len(found.frame()) == 3
    words = found.words()
    assert words.count("coordinates set against") == 2
    assert words.startswith("pca ")


def test_where_no_example_is_on_trial_rates_and_ends_are_null(found):
    none = replace(found.bases[0].trial, controls=dict.fromkeys(found.bases[0].trial.controls, Tally()))
    bare = replace(found, bases=(replace(found.bases[0], trial=none),))
    [row] = bare.rows()
    assert row["n"] == 0
    assert row["aligned"] is row["aligned_low"] is row["aligned_high"] is row["set"] is None
    assert bare.words() == ""
    later = replace(found, bases=(found.bases[0], replace(found.bases[1], trial=none), found.bases[2]))
    assert "pca" not in later.words()
    assert "random " in later.words()
    nothing = Interchanged("pca", "latent", (1,), 0, 0, 0, 0, 0).row()
    assert nothing["iia"] is nothing["base_label"] is nothing["most_common_label"] is None


def test_what_does_not_fit_is_said():
    model, given = network(), loaders()
    with pytest.raises(ConfigError, match="got those of none"):
        compare(model, given["train"], given["test"], [])
    with pytest.raises(ConfigError, match="got those of decoder, latent"):
        compare(model, given["train"], given["test"], [localist("latent", UNITS), localist("decoder", 3)])
