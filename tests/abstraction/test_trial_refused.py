"""What a trial refuses, and what it says then."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import ndg
from ndg.abstraction.edges import try_edges
from ndg.abstraction.trial import trial, trials
from ndg.errors import ConfigError, DataError, GraphError, LayerError, ShapeError
from ndg.graph.ndg import NDG
from ndg.nodes import LayerUnits, NodeSpace
from tests.interventions.test_passes import After, images
from tests.references.by_hand import ByHand, by_hand, examples, loader
from tests.references.graph_cases import implications

SERIAL = ndg.RunOptions(executor="serial")


@pytest.fixture
def model() -> ByHand:
    return ByHand()


@pytest.fixture
def graph() -> NDG:
    return by_hand()


def wrong(model, graph, **change):
    nodes = NodeSpace(change.get("labels", 3), (LayerUnits(change.get("layer", "latent"), change.get("units", 4)),))
    bits = np.zeros((4, len(nodes)), np.bool_)
    return NDG(replace(implications(bits, nodes, []), thresholds=np.full(nodes.neurons, 0.5), binarizer="half"))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (
            {"units": 5},
            ShapeError,
            "it has 5 units of 'latent', the network 4; use the graph that was mined",
        ),
        ({"labels": 4}, ShapeError, "it has 4 labels, the network 3; use the graph"),
        ({"layer": "latents"}, LayerError, "no layer 'latents' in ByHand; nearest: latent"),
        ({"labels": 1}, ShapeError, "an alternative class needs at least 2 classes; the graph has 1"),
    ],
)
def test_a_graph_of_another_network_is_refused(model, graph, change, error, text):
    with pytest.raises(error, match=re.escape(text)):
        trial(model, wrong(model, graph, **change), loader(), options=SERIAL)


def test_what_is_asked_for_must_exist(model, graph):
    with pytest.raises(GraphError, match="no layer 'later' in this graph; nearest: latent"):
        trial(model, graph, loader(), settings=ndg.TrialSettings(layer="later"))
    with pytest.raises(ConfigError, match=r"an intervention is one of Q, G\.1, G\.2; got 'G\.3'; nearest: G"):
        trial(model, graph, loader(), "G.3")
    with pytest.raises(ConfigError, match="an executor is auto, serial, threads or ray; got 'rays'; nearest: ray"):
        trial(model, graph, loader(), options=ndg.RunOptions(executor="rays"))
    with pytest.raises(DataError, match="at least one intervention"):
        trials(model, graph, loader(), [])
    with pytest.raises(ConfigError, match="drawn at least once; got draws=0"):
        trial(model, graph, loader(), settings=ndg.TrialSettings(draws=0))
    for beta in (0, 1.5, -0.1):
        with pytest.raises(ConfigError, match=r"a recall inside \(0, 1\], and 1 walks no implication backwards; got"):
            trial(model, graph, loader(), settings=ndg.TrialSettings(beta=beta))
    with pytest.raises(ConfigError, match="values are written as boolean, mean, resample; got 'means'"):
        trial(model, graph, loader(), settings=ndg.TrialSettings(values="means"))
    with pytest.raises(ConfigError, match="values written as 'mean' are taken from fitting examples; got none"):
        trial(model, graph, loader(), settings=ndg.TrialSettings(values="mean"))


def test_control_graphs_and_orders_fit_the_layer(model, graph):
    with pytest.raises(ConfigError, match=r"a name of its own, none of graph, binarise, .* got 'random'"):
        trial(model, graph, loader(), settings=ndg.TrialSettings(graphs={"random": graph}))
    with pytest.raises(ShapeError, match="units of 'latent' as the graph on trial, 3 and 4; 'other' has 3 and 5"):
        trial(model, graph, loader(), settings=ndg.TrialSettings(graphs={"other": wrong(model, graph, units=5)}))
    with pytest.raises(GraphError, match="no layer 'latent' in this graph"):
        trial(
            model, graph, loader(), settings=ndg.TrialSettings(graphs={"other": wrong(model, graph, layer="latents")})
        )
    with pytest.raises(ConfigError, match="orders are those of a curve; got scores without one; pass curve=True"):
        trial(model, graph, loader(), settings=ndg.TrialSettings(orders={"scores": np.arange(4)}))
    for order in (np.arange(3), np.array([0, 1, 2, 2]), np.zeros((2, 4), np.int64)):
        with pytest.raises(ShapeError, match="lists the 4 units of the layer from the first to the last, each once"):
            trial(model, graph, loader(), settings=ndg.TrialSettings(orders={"scores": order}, curve=True))
    with pytest.raises(ConfigError, match=r"an order has a name of its own, none of graph, .* got 'graph'"):
        trial(model, graph, loader(), settings=ndg.TrialSettings(orders={"graph": np.arange(4)}, curve=True))


def test_a_layer_after_the_logits_or_of_every_token_is_refused():
    _, given = images()
    late = After().eval()
    graph = ndg.mine(ndg.extract(late, given, layers=["after"]), alpha=1.5)
    with pytest.raises(LayerError, match="changes a layer before the logits; 'after' runs after 'out' has given them"):
        trial(late, graph, given, options=SERIAL)
    unknown = NDG(replace(graph.implications, thresholds=np.full(3, np.nan)))
    with pytest.raises(GraphError, match="those of 'after' are NaN; mine the graph from extracted bits"):
        trial(late, unknown, given, options=SERIAL)


@pytest.mark.parametrize("executor", ["auto", "serial"])
def test_examples_and_labels_are_needed(model, graph, executor):
    inputs, true = examples()
    with pytest.raises(DataError, match="check"):
        trial(model, graph, [], options=ndg.RunOptions(executor=executor))
    with pytest.raises(DataError, match="needs the true labels; the loader gives inputs alone"):
        trial(model, graph, [inputs], options=ndg.RunOptions(executor=executor))
    with pytest.raises(
        DataError, match=r"one class from 0 to 2 per example; got torch.int64 of shape \(60,\) with values 1 to 3"
    ):
        trial(model, graph, [(inputs, true + 1)], options=ndg.RunOptions(executor=executor))


def test_nan_is_an_error_that_names_layer_and_unit(model, graph):
    with torch.no_grad():
        model.encoder.weight[2, 1] = float("nan")
    with pytest.raises(LayerError, match="unit 2 of 'latent' is NaN at example 0"):
        trial(model, graph, loader(), options=SERIAL)


def test_raw_settings_are_refused_in_words(model, graph):
    with pytest.raises(ConfigError, match="a compute batch has at least 1 example; got batch=0"):
        trial(model, graph, loader(), options=ndg.RunOptions(batch=0))
    with pytest.raises(ConfigError, match="at least 1 thread; got threads=0"):
        trial(model, graph, loader(), options=ndg.RunOptions(threads=0))
    for device in ("tpu", "meta:wrong", f"cuda:{torch.cuda.device_count()}"):
        with pytest.raises(ConfigError, match=f"on a device that this machine has, cpu.*; got '{device}'"):
            trial(model, graph, loader(), options=ndg.RunOptions(device=device))
    with pytest.raises(DataError, match="at least one fitting example"):
        trial(model, graph, loader(), fit=[], settings=ndg.TrialSettings(values="mean"))
    shuffles = DataLoader(TensorDataset(*examples()), shuffle=True)
    with pytest.raises(DataError, match="shuffles them; make it with shuffle=False"):
        trial(model, graph, shuffles)
    with pytest.raises(DataError, match="shuffles them; make it with shuffle=False"):
        try_edges(model, graph, shuffles, settings=ndg.EdgeSettings(values="boolean"))


def test_one_intervention_may_be_named_alone(model, graph):
    assert trials(model, graph, loader(), "G.1", options=SERIAL) == trials(
        model, graph, loader(), ["G.1"], options=SERIAL
    )
