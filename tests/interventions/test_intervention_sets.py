"""Laws of the sets D(t, t'), for every registered intervention and any graph."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings

from ndg.errors import ConfigError
from ndg.interventions.intervention_sets import INTERVENTIONS, choices, definition, predicted
from ndg.literal import Literal
from tests.references import trial as slow
from tests.references.graph_cases import drawn, graphs

every_intervention = pytest.mark.parametrize("name", INTERVENTIONS)


@every_intervention
@given(graph=graphs(max_nodes=7, max_edges=12))
@settings(max_examples=60, deadline=None)
def test_the_set_is_that_of_the_definition_without_its_contradictory_pairs(name, graph):
    for true in range(graph.nodes.labels):
        for alternative in range(graph.nodes.labels):
            asked = slow.asked(name, graph.implications, true, alternative)
            found = INTERVENTIONS[name].literals(graph, true, alternative)
            assert {literal.code for literal in found.literals} == {code for code in asked if code ^ 1 not in asked}
            assert found.contradictions == {code >> 1 for code in asked if code ^ 1 in asked}


@every_intervention
@given(graph=graphs(max_nodes=7, max_edges=12, least=1))
@settings(max_examples=60, deadline=None)
def test_the_arrays_of_a_layer_say_what_the_sets_say(name, graph):
    labels = graph.nodes.labels
    true, alternative = (grid.reshape(-1) for grid in np.meshgrid(np.arange(labels), np.arange(labels), indexing="ij"))
    for layer in graph.nodes.layers:
        found = choices(INTERVENTIONS[name], graph, layer.name)
        mask, values, contradictory = found.of(true, alternative)
        where = graph.nodes.slice(layer.name)
        for row, (t, other) in enumerate(zip(true.tolist(), alternative.tolist(), strict=True)):
            expected = INTERVENTIONS[name].literals(graph, t, other)
            named = {Literal(where.start + int(unit), bool(values[row, unit])) for unit in np.flatnonzero(mask[row])}
            assert named == {one for one in expected.literals if where.start <= one.node < where.stop}
            assert contradictory[row] == any(where.start <= node < where.stop for node in expected.contradictions)
            assert not (values & ~mask).any()


@every_intervention
@given(graph=graphs(max_nodes=7, max_edges=12, least=1))
@settings(max_examples=30, deadline=None)
def test_classes_without_ancestors_are_told_of_q(name, graph):
    found = choices(INTERVENTIONS[name], graph, graph.nodes.layers[0].name)
    for label in range(graph.nodes.labels):
        none = name == "Q" and not graph.ancestors(predicted(graph, label))
        assert found.no_ancestors[label] == none


@given(graph=graphs(max_nodes=7, max_edges=12, least=1))
@settings(max_examples=30, deadline=None)
def test_q_contains_g2_and_is_g2_where_nothing_implies_the_class(graph):
    for label in range(graph.nodes.labels):
        q, g2 = (INTERVENTIONS[name].wanted(graph, label) for name in ("Q", "G.2"))
        assert q >= g2
        assert q == g2 or graph.ancestors(predicted(graph, label))


def test_sets_of_a_graph_drawn_by_hand():
    graph = drawn()

    def texts(name: str, true: int, alternative: int) -> set[str]:
        return {graph.nodes.text(one) for one in INTERVENTIONS[name].literals(graph, true, alternative).literals}

    assert texts("Q", 1, 0) == {"a:0", "a:1", "label:0"}
    assert texts("Q", 0, 1) == {"a:2", "a:3", "label:1"}  # not through the contradictory class of b:3 and b:4
    assert texts("G.2", 1, 0) == {"label:0"}
    assert texts("G.1", 1, 0) == {"label:0", "~label:1"}


def test_an_unknown_intervention_names_the_nearest():
    with pytest.raises(ConfigError, match=re.escape("an intervention is one of Q, G.1, G.2; got 'q'; nearest: Q")):
        definition("q")
