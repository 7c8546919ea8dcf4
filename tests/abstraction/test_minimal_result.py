"""The record of minimal sets: sizes that are compared, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from ndg.abstraction.counts import Counts
from ndg.abstraction.minimal import minimal
from ndg.abstraction.minimal.result import ROWS
from ndg.abstraction.minimal.run import MinimalSettings
from ndg.errors import ConfigError, DataError, GraphError, LayerError, ShapeError
from ndg.nodes import LayerUnits, NodeSpace
from ndg.options import RunOptions
from tests.abstraction.test_minimal import by_hand
from tests.references import minimal as slow

SERIAL = RunOptions(executor="serial")


def result(**sizes: list[int]):
    """A result of four examples whose sizes are given by method, at all stages."""
    net, graph = by_hand()
    inputs = torch.tensor([[-1.0, -1, 1], [1, -1, -1], [-1, 1, 1], [1, 1, -1]])
    found = minimal(
        net, graph, [(inputs, torch.tensor([0, 0, 0, 1]))], settings=MinimalSettings(split="test"), options=SERIAL
    )
    counts = dict(found.counts.by_name)
    for method, told in sizes.items():
        counts |= {name: np.array(told) for name in counts if name.split(" ")[0] == method and "tried" not in name}
    return replace(found, counts=Counts(counts))


def test_sizes_are_compared_where_all_succeed():
    found = result(graph=[3, 4, 0, 5], greedy=[2, 0, 1, 3], prototype=[4, 4, 4, 6], graph_greedy=[2, 2, 2, 3])
    rows = {(row["method"], row["stage"]): row for row in found.rows()}
    graph, greedy_row, proto = (rows[name, "eliminated"] for name in ("graph", "greedy", "prototype"))
    assert found.common.tolist() == [True, False, False, True]
    assert (graph["success"], graph["n"], graph["compared"], graph["median"]) == (0.75, 4, 2, 4.0)
    assert (graph["more_than_graph"], graph["more_than_greedy"], graph["larger_than_greedy"]) == (None, 1.5, 2)
    assert (greedy_row["more_than_graph"], greedy_row["smaller_than_graph"]) == (-1.5, 2)
    assert (proto["more_than_graph"], proto["more_than_graph_low"], proto["larger_than_graph"]) == (1.0, 1.0, 2)
    words = found.words()
    assert words.endswith("Of 4 correct predictions 4 survive binarising alone.")
    assert "on the 2 of 4 examples on which all succeed" in words
    assert "larger than those of greedy order" in words
    assert "smaller than those of prototype order" in words
    assert "larger than those of the same ranking without the graph's edges" in words
    assert len(found.frame()) == len(ROWS)


def test_sizes_of_a_network_that_binarising_changes_have_no_verdict():
    found = result(graph=[3, 4, 2, 5], greedy=[2, 2, 1, 3], prototype=[4, 4, 4, 6], graph_greedy=[2, 2, 2, 3])
    kept = {"kept": np.array([True, True, True, False])}
    words = replace(found, counts=Counts(dict(found.counts.by_name) | kept)).words()
    assert words.endswith(
        "Of 4 correct predictions 3 survive binarising alone, fewer than 0.9: no verdict on the network, which "
        "binarising changes; try another layer."
    )


def test_the_record_is_plain_json_also_where_nothing_is_compared():
    for found in (result(), result(graph=[0, 0, 0, 0])):
        told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert [row["method"] for row in told["rows"]] == [method for method, _ in ROWS]
        assert sum(told["sizes"]["graph prefix"]) == told["kept"] == 4
    assert found.to_dict()["compared"] == 0
    assert all(row["median"] is None and row["more_than_greedy"] is None for row in found.rows())


def test_an_example_that_binarising_changes_is_left_out_and_counted():
    net, graph = by_hand()
    inputs = torch.tensor([[0.01, 0.01, 1.0]])  # both units barely on: 0.55 each as activations, 1 each as booleans
    found = minimal(net, graph, [(inputs, torch.tensor([0]))], options=SERIAL)
    assert (found.numbers.tolist(), found.kept.tolist(), found.sets()) == ([0], [False], [])
    for row in found.rows():
        assert row["success"] is row["success_low"] is row["success_high"] is None
    assert "nothing was on trial" in found.words()
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("settings", "options", "error", "message"),
    [
        ({"budget": 0}, {}, ConfigError, "budget is at least 1; got 0"),
        ({"examples": 0}, {}, ConfigError, "examples is at least 1; got 0"),
        ({"intervention": "G2"}, {}, ConfigError, "an intervention is one of Q, G.1, G.2; got 'G2'; nearest: G.2"),
        ({"values": "zero"}, {}, ConfigError, "values are written as boolean, mean, resample; got 'zero'"),
        ({"layer": "latens"}, {}, GraphError, "no layer 'latens' in this graph; nearest: latent"),
        ({}, {"executor": "dask"}, ConfigError, "an executor is auto, serial, threads or ray; got 'dask'"),
    ],
)
def test_what_cannot_be_asked(settings, options, error, message):
    net, graph = by_hand()
    loader = [(torch.ones(2, 3), torch.tensor([1, 1]))]
    with pytest.raises(error, match=re.escape(message)):
        minimal(net, graph, loader, settings=MinimalSettings(**settings), options=RunOptions(**options))


def test_what_cannot_be_tried():
    net, graph = by_hand()
    with pytest.raises(DataError, match="of 2 examples none is; check the labels"):
        minimal(net, graph, [(torch.ones(2, 3), torch.tensor([0, 0]))])
    with pytest.raises(DataError, match="needs the true labels"):
        minimal(net, graph, [torch.ones(2, 3)])
    four = slow.graph(np.zeros((4, 6), bool), NodeSpace(2, (LayerUnits("latent", 4),)), [])
    with pytest.raises(ShapeError, match="the graph is of another network"):
        minimal(net, four, [(torch.ones(2, 3), torch.tensor([1, 1]))], options=SERIAL)
    with pytest.raises(LayerError, match="no layer 'encoder' in Both"):
        minimal(net, slow.random_graph(2, 3, 0, 0), [(torch.ones(2, 3), torch.tensor([1, 1]))])
    two = slow.graph(np.zeros((4, 8), bool), NodeSpace(2, (LayerUnits("a", 3), LayerUnits("b", 3))), [])
    with pytest.raises(GraphError, match="sets units of one layer; the graph has a, b; pass layer="):
        minimal(net, two, [(torch.ones(2, 3), torch.tensor([1, 1]))])
