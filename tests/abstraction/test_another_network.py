"""A graph knows the weights that it was mined from, and is tried on no others unless that is meant."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

import ndg
from ndg.abstraction.edges import try_edges
from ndg.abstraction.explain import explain
from ndg.abstraction.interchange import interchange, unfolding
from ndg.abstraction.minimal import minimal
from ndg.abstraction.trial import trial, trials
from ndg.activations.digest import weights_digest
from ndg.counterfactual import counterfactual_set
from ndg.counterfactual.training import CounterfactualSettings
from ndg.errors import GraphError
from ndg.graph.ndg import NDG
from ndg.interventions import substitution
from ndg.interventions.passes import Passes
from ndg.workflows.counterfactual import train_on
from tests.counterfactual.small import loaders, network

LAYERS = ["encoder", "latent"]
GIVEN = loaders()
FIT, TEST, SERIAL = GIVEN["train"], GIVEN["test"], ndg.RunOptions(executor="serial")


def serially(study, settings, *on, **more):
    """Results of a study in this process; `any_network` is a setting of it."""

    def run(model, graph, **how):
        return study(model, graph, *on, **more, settings=replace(settings, **how), options=SERIAL)

    return run


STUDIES = {
    "passes": lambda *on, **how: Passes.of(*on, ["latent"], **how),
    "writing": lambda *on, **how: substitution.fit("mean", *on, FIT, ["latent"], **how),
    "trial": serially(trial, ndg.TrialSettings("latent", values="mean"), TEST, fit=FIT),
    "trials": serially(trials, ndg.TrialSettings("latent", values="mean"), TEST, ["Q"], fit=FIT),
    "edges": serially(try_edges, ndg.EdgeSettings(values="mean"), TEST, fit=FIT),
    "interchange": serially(interchange, ndg.InterchangeSettings(), TEST),
    "unfolding": serially(unfolding, ndg.InterchangeSettings(), TEST, "encoder"),
    "minimal": serially(minimal, ndg.MinimalSettings("latent", values="mean", examples=3), TEST, fit=FIT),
    "explain": serially(
        explain, ndg.ExplainSettings(layer="latent", values="mean"), TEST[0][0][:1], reference=TEST, fit=FIT
    ),
    "counterfactual": lambda *on, **how: counterfactual_set(*on, FIT, layer="latent", **how),
}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return network()


@pytest.fixture(scope="module")
def graph(model) -> NDG:
    return ndg.mine(ndg.extract(model, FIT, LAYERS), alpha=15)


def tuned(model: nn.Module) -> nn.Module:
    """The network with one weight moved a little."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed.decoder[0].weight[0, 0] += 1e-3
    return changed


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_every_study_refuses_a_graph_of_another_network_unless_it_is_meant(study, model, graph):
    for other in (network(seed=1), tuned(model)):
        with pytest.raises(GraphError) as refused:
            STUDIES[study](other, graph)
        assert str(refused.value) == (
            "a graph is tried on the network that it was mined from: expected weights of digest "
            f"{weights_digest(model)}, got {weights_digest(other)}; use the network that the graph was mined from, or "
            "pass any_network=True to try the graph on another one on purpose"
        )
    STUDIES[study](tuned(model), graph, any_network=True)
    STUDIES[study](tuned(model), replace(graph, provenance={"run": "r"}))


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_hashes_its_network_once_and_not_where_any_will_do(study, model, graph, monkeypatch):
    hashed = []

    def counted(one):
        hashed.append(one)
        return weights_digest(one)

    monkeypatch.setattr("ndg.interventions.reach.weights_digest", counted)
    monkeypatch.setattr("ndg.counterfactual.generate.weights_digest", counted)
    STUDIES[study](model, graph)
    assert len(hashed) == 1
    hashed.clear()
    STUDIES[study](model, graph, any_network=True)
    assert len(hashed) == (study == "counterfactual")  # its data say which network gave their latents


def test_any_network_changes_nothing_for_the_own_one(model, graph):
    for study in ("trial", "edges", "interchange", "minimal"):
        own, any_one = STUDIES[study](model, graph), STUDIES[study](model, graph, any_network=True)
        assert own.to_dict() == any_one.to_dict()


def test_a_graph_that_was_saved_filtered_or_shortened_still_knows_its_network(model, graph, tmp_path):
    loaded = NDG.load(graph.save(tmp_path / "graph.ndg"))
    for one in (loaded, loaded.filter(layers=["latent"])):
        STUDIES["passes"](copy.deepcopy(model), one)
        with pytest.raises(GraphError, match="tried on the network that it was mined from"):
            STUDIES["passes"](tuned(model), one)


def test_a_trained_copy_is_tried_on_purpose(model):
    graph = ndg.mine(ndg.extract(model, FIT), alpha=15)
    data = counterfactual_set(model, graph, FIT)
    found = train_on(model, graph, data, GIVEN, settings=CounterfactualSettings(epochs=1, learning_rate=0.01))
    assert weights_digest(found.model) != graph.provenance["weights"] == weights_digest(model)


def test_ray_gives_the_same_integers_and_refuses_the_same(ray_session, model, graph):
    def tried(on, by):
        options = ndg.RunOptions(executor=by, batch=32, timeout=120.0)
        return trial(on, graph, TEST, fit=FIT, settings=ndg.TrialSettings("latent"), options=options)

    shared, alone = tried(model, "ray"), tried(model, "serial")
    assert replace(shared, executor="", reason="") == replace(alone, executor="", reason="")
    with pytest.raises(GraphError, match="pass any_network=True"):
        tried(tuned(model), "ray")
