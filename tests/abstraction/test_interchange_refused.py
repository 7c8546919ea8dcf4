"""What interchange refuses: sets, pairs, networks, layers and loaders that do not fit."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ndg.abstraction.interchange import interchange, unfolding
from ndg.abstraction.interchange.run import InterchangeSettings
from ndg.errors import ConfigError, DataError, GraphError, LayerError, ShapeError
from ndg.graph.ndg import NDG
from ndg.nodes import LayerUnits, NodeSpace
from ndg.options import RunOptions
from tests.abstraction.test_interchange import CLASSES, ROWS, Planted, planted
from tests.references.graph_cases import implications

SERIAL = RunOptions(executor="serial")


@pytest.mark.parametrize(
    ("settings", "options", "error", "text"),
    [
        (
            {"sets": ["ancestor"]},
            {},
            ConfigError,
            "a set is one of equivalence, ancestors, layer, random; got 'ancestor'",
        ),
        ({"sets": ["random"]}, {}, ConfigError, "swaps at least one set beside the random ones"),
        ({"units": {"layer": []}}, {}, ConfigError, "sets of your own have names of their own"),
        ({"units": {"mine": ["label:0"]}}, {}, GraphError, "swaps units of latent; label:0 is none; add its layer"),
        ({"units": {"mine": ["latent:99"]}}, {}, GraphError, "has units 0 to 11; got unit 99"),
        ({"sets": "random"}, {}, ConfigError, "swaps at least one set beside the random ones; got ['random']"),
        ({}, {"timeout": 0}, ConfigError, "a timeout is a number of seconds above 0; got 0"),
        ({"pool": 0}, {}, ConfigError, "a pool has at least 1 source; got 0"),
        ({"layers": "latents"}, {}, GraphError, "no layer 'latents' in this graph; nearest: latent"),
        ({}, {"executor": "rays"}, ConfigError, "an executor is auto, serial, threads or ray"),
    ],
)
def test_what_is_asked_for_must_exist(settings, options, error, text):
    model, graph, loader = planted()
    with pytest.raises(error, match=re.escape(text)):
        interchange(
            model,
            graph,
            loader,
            settings=InterchangeSettings(**settings),
            options=RunOptions(**{"executor": "serial"} | options),
        )


class Wide(Planted):
    """Takes inputs of any width."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, :CLASSES])


class Late(Planted):
    """Has a layer that runs after the logits are given."""

    def __init__(self) -> None:
        super().__init__()
        self.after = nn.Linear(CLASSES, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        self.after(logits)
        return logits


def test_pairs_must_fit_each_other():
    model, graph, loader = planted()
    with pytest.raises(ShapeError, match=r"bases and sources of one shape; expected .*\(5,\).* got .*\(4,\)"):
        interchange(Wide(), graph, base=loader, source=[torch.zeros(ROWS, 5)], options=SERIAL)
    for source, kind in (([torch.zeros(ROWS, 5)], r"\(5,\) of floats"), ([torch.ones(ROWS, 4).int()], "of integers")):
        with pytest.raises(ShapeError, match=rf"expected inputs: .*{kind}, the sources', got inputs: \(4,\) of floats"):
            interchange(model, graph, base=loader, source=source, options=SERIAL)
    with pytest.raises(DataError, match=f"base i is paired with source i; got {ROWS} bases and 3 sources"):
        interchange(model, graph, base=loader, source=[loader[0][:3]], options=SERIAL)
    with pytest.raises(ConfigError, match="takes a loader, or base= and source= for pairs"):
        interchange(model, graph, loader, source=loader)
    with pytest.raises(ConfigError, match="takes a loader, or base= and source= for pairs"):
        interchange(model, graph, base=loader)
    with pytest.raises(DataError, match="needs at least one source"):
        interchange(model, graph, [], options=SERIAL)


def test_a_graph_of_another_network_or_a_layer_behind_the_logits_is_refused():
    model, _, loader = planted()
    nodes = NodeSpace(CLASSES, (LayerUnits("latent", 7),))
    other = NDG(replace(implications(np.zeros((4, 11), np.bool_), nodes, []), thresholds=np.full(7, 0.5)))
    with pytest.raises(ShapeError, match="the graph is of another network: it has 7 units of 'latent', the network 12"):
        interchange(model, other, loader, options=SERIAL)
    late = NodeSpace(CLASSES, (LayerUnits("after", 2),))
    behind = NDG(replace(implications(np.zeros((4, 6), np.bool_), late, []), thresholds=np.full(2, 0.5)))
    with pytest.raises(LayerError, match="changes a layer before the logits; 'after' runs after"):
        interchange(Late(), behind, loader, options=SERIAL)


@pytest.mark.parametrize("study", [interchange, unfolding])
def test_a_loader_that_shuffles_a_single_example_and_a_graph_without_labels_are_refused(study):
    model, graph, loader = planted()
    layers = {"settings": InterchangeSettings(layers="latent")} if study is interchange else {"layers": "latent"}
    how = {**layers, "options": SERIAL}
    shuffling = DataLoader(loader[0], shuffle=True)  # type: ignore[arg-type]
    for given in ({"loader": shuffling}, {"loader": None, "base": loader, "source": shuffling}):
        with pytest.raises(DataError, match="this DataLoader shuffles them; make it with shuffle=False"):
            study(model, graph, **given, **how)
    with pytest.raises(DataError, match="neurons from another example; the loader gave 1 example"):
        study(model, graph, [loader[0][:1]], **how)
    bits = np.zeros((4, graph.nodes.neurons), np.bool_)
    bare = NDG(implications(bits, NodeSpace(0, graph.nodes.layers), []))
    with pytest.raises(GraphError, match="the graph has no labels; extract with labels=True"):
        study(model, bare, loader, **how)
