"""Implications of high recall are walked backwards: none at beta 1, ever more below."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.abstraction.backward import walked_backwards
from ndg.errors import ConfigError, GraphError
from ndg.graph.ndg import NDG
from ndg.nodes import LayerUnits, NodeSpace
from tests.references import trial as slow
from tests.references.graph_cases import edges_of, graphs, implications

recalls = st.floats(0, 1)


@given(graph=graphs(max_nodes=7, max_edges=12), beta=recalls)
@settings(max_examples=60, deadline=None)
def test_the_edges_are_those_of_the_definition(graph, beta):
    assert edges_of(walked_backwards(graph, beta)) == slow.edges_of(graph.implications, beta)


@given(graph=graphs(max_nodes=7, max_edges=12), one=recalls, other=recalls)
@settings(max_examples=60, deadline=None)
def test_a_smaller_beta_only_adds(graph, one, other):
    low, high = sorted((one, other))
    less, more = walked_backwards(graph, high), walked_backwards(graph, low)
    assert edges_of(graph) <= edges_of(less) <= edges_of(more)


@given(graph=graphs())
def test_at_one_the_graph_is_itself(graph):
    assert walked_backwards(graph, 1) is graph


def test_an_implication_and_its_reverse_worked_out_by_hand():
    """a -> b on 8 of 10 examples where b holds: recall 0.8. Its contrapositive has a recall of 1 of 3."""
    nodes = NodeSpace(0, (LayerUnits("x", 2),))
    bits = np.array([[1, 1]] * 8 + [[0, 1]] * 2 + [[0, 0]], np.bool_)
    a, b = nodes.literal("x:0").code, nodes.literal("x:1").code
    graph = NDG(implications(bits, nodes, [(a, b)]))
    assert len(walked_backwards(graph, 0.8)) == 2
    both = walked_backwards(graph, 0.79)
    assert edges_of(both) == {(a, b), (b ^ 1, a ^ 1), (b, a), (a ^ 1, b ^ 1)}
    told = {(row.antecedent, row.consequent): row for row in both.edges_frame().itertuples()}
    assert told["x:1", "x:0"].exceptions == told["~x:0", "~x:1"].exceptions == 2
    assert told["x:1", "x:0"].precision == 0.8
    assert both.provenance["beta"] == 0.79


def test_a_recall_that_is_not_known_is_no_recall():
    nodes = NodeSpace(0, (LayerUnits("x", 2),))
    known = implications(np.zeros((1, 2), np.bool_), nodes, [(0, 2)])
    graph = NDG(replace(known, on=known.on * 0, exceptions=known.exceptions * 0, examples=0))
    assert walked_backwards(graph, 1.0) is graph
    with pytest.raises(GraphError, match=r"recall above 0\.5 are walked backwards; this graph has no counts"):
        walked_backwards(graph, 0.5)
    for beta in (-0.1, 1.1):
        with pytest.raises(ConfigError, match="beta is a recall from 0 to 1"):
            walked_backwards(graph, beta)
