"""Closure, ancestors and descendants against plain reachability."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.errors import GraphError
from ndg.graph.closure import negated, reach
from ndg.literal import Literal
from tests.references import graph as slow
from tests.references.graph_cases import drawn, edges_of, graphs, mined

SOME = settings(max_examples=40, deadline=None)


def codes(literals) -> set[int]:
    return {literal.code for literal in literals}


@st.composite
def seeded(draw):
    graph = draw(st.one_of(graphs(), mined().map(lambda case: case[0])))
    literal = st.integers(0, 2 * len(graph.nodes) - 1).map(Literal.of)
    return graph, draw(st.sets(literal, max_size=3)), draw(st.sets(literal, max_size=3))


@pytest.mark.slow
@given(seeded())
@SOME
def test_the_closure_is_what_paths_outside_contradictory_classes_reach(case):
    graph, seeds, _ = case
    closed = graph.closure(seeds)
    expected = slow.closure(2 * len(graph.nodes), edges_of(graph), codes(seeds))
    assert codes(closed.literals) == expected
    assert closed.contradictions == {literal.node for literal in closed if ~literal in closed}
    assert {literal.node for literal in closed.consistent} == {l.node for l in closed} - closed.contradictions


@given(seeded())
@SOME
def test_closure_is_extensive_monotone_and_idempotent(case):
    graph, some, more = case
    closed = graph.closure(some)
    assert some <= closed.literals
    assert closed.literals <= graph.closure(some | more).literals
    assert graph.closure(closed) == closed


@given(seeded())
@SOME
def test_ancestors_are_the_negated_descendants_of_the_negation_and_reach_the_literal(case):
    graph, seeds, _ = case
    for literal in seeds:
        below, above = graph.descendants(literal), graph.ancestors(literal)
        assert literal not in below
        assert literal not in above
        assert below == graph.closure([literal]).literals - {literal}
        assert above == {~other for other in graph.descendants(~literal)}
        others = map(Literal.of, range(2 * len(graph.nodes)))
        assert above == {other for other in others if literal in graph.descendants(other)}


@given(st.sets(st.integers(0, 39)))
def test_negating_a_set_of_literals_negates_each(some):
    mask = np.zeros(40, bool)
    mask[list(some)] = True
    assert set(np.flatnonzero(negated(mask)).tolist()) == {code ^ 1 for code in some}


@given(st.one_of(graphs(), graphs(max_nodes=70, max_edges=150)))
@SOME
def test_reachability_in_blocks_of_64_components_is_that_in_one(graph):
    whole, blocked = reach(graph.condensation), reach(graph.condensation, block_bytes=1)
    assert np.array_equal(whole.essential, blocked.essential)
    assert np.array_equal(whole.contradicting, blocked.contradicting)


def test_nothing_enters_or_passes_through_a_contradictory_class():
    graph = drawn()
    assert [[graph.nodes.text(l) for l in members] for members in graph.contradictory] == [
        ["~b:3", "b:3", "~b:4", "b:4"]
    ]
    assert graph.descendants("a:0") == {graph.literal("a:1"), graph.literal("label:0")}
    assert graph.ancestors("label:1") == {graph.literal("a:2"), graph.literal("a:3")}
    assert graph.closure("b:3").literals == {graph.literal("b:3")}
    assert graph.closure(["b:3", "~b:3"]).contradictions == {graph.nodes.index("b:3")}
    assert not graph.descendants("b:3") | graph.ancestors("b:3")


def test_a_node_that_follows_both_on_and_off_is_named():
    closed = drawn().closure(["a:0", "~label:0"])
    assert {drawn().nodes.name(node) for node in closed.contradictions} == {"a:0", "a:1", "label:0"}


def test_a_graph_travels_to_another_process():
    graph = drawn()
    copy = pickle.loads(pickle.dumps(graph))
    assert copy == graph
    assert copy.closure("a:2") == graph.closure("a:2")
    assert hash(copy) == hash(graph)


def test_a_literal_of_another_graph_is_refused():
    with pytest.raises(GraphError, match=r"no layer 'aa' in this graph; nearest: a"):
        drawn().closure("aa:0")
    with pytest.raises(GraphError, match=r"numbered 0 to 11; got 12"):
        drawn().closure([Literal(12)])


def test_a_closure_is_a_set_of_literals():
    graph = drawn()
    closed = graph.closure("a:0")
    assert len(closed) == len(closed.literals) == 3
    assert graph.literal("a:1") in closed
    assert "a:1" not in closed
    assert Literal(99) not in closed
    assert {closed, graph.closure(closed)} == {closed}
    assert closed != closed.literals


def test_the_closure_of_one_literal_is_that_of_a_list_of_it():
    graph = drawn()
    for text in ("a:0", "¬label:0"):
        one = graph.literal(text)
        assert graph.closure(one) == graph.closure([one]) == graph.closure(text) == graph.closure([text])
