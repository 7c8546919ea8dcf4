"""Classes, their acyclic graph and its transitive reduction."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.errors import GraphError
from ndg.graph.condensation import levels
from ndg.graph.ndg import NDG
from ndg.literal import Literal
from tests.references import graph as slow
from tests.references.graph_cases import CRITERIA, drawn, edges_of, graphs, implications, mined, space

SOME = settings(max_examples=40, deadline=None)
any_graph = st.one_of(graphs(), mined().map(lambda case: case[0]))


@given(any_graph)
@SOME
def test_classes_are_the_literals_that_reach_each_other(graph):
    expected = [part for part in slow.components(2 * len(graph.nodes), edges_of(graph)) if len(part) > 1]
    found = [{literal.code for literal in members} for members in graph.classes + graph.contradictory]
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))
    assert all(slow.contradictory({l.code for l in members}) for members in graph.contradictory)
    assert not any(slow.contradictory({l.code for l in members}) for members in graph.classes)


@given(any_graph)
@SOME
def test_a_class_and_its_negation_are_both_classes(graph):
    mirrored = {frozenset(~literal for literal in members) for members in graph.classes}
    assert mirrored == {frozenset(members) for members in graph.classes}


@given(any_graph)
@SOME
def test_the_condensation_is_acyclic_skew_symmetric_and_numbered_in_topological_order(graph):
    condensation = graph.condensation
    assert (condensation.tails < condensation.heads).all()
    assert nx.is_directed_acyclic_graph(graph.to_networkx())
    parts, arcs = slow.condensed(2 * len(graph.nodes), edges_of(graph))
    members = [set(codes) for codes in condensation.members]
    found = {
        (parts.index(members[t]), parts.index(members[h]))
        for t, h in zip(condensation.tails, condensation.heads, strict=True)
    }
    assert found == arcs
    flipped = {number: members.index({code ^ 1 for code in codes}) for number, codes in enumerate(members)}
    pairs = set(zip(condensation.tails.tolist(), condensation.heads.tolist(), strict=True))
    assert pairs == {(flipped[head], flipped[tail]) for tail, head in pairs}


@given(mined())
@SOME
def test_mined_graphs_are_skew_symmetric_under_each_criterion(case):
    edges = edges_of(case[0])
    assert edges == {slow.contrapositive(edge) for edge in edges}
    assert {name for name, _ in CRITERIA} == {"paper", "confidence"}


@given(any_graph)
@SOME
def test_the_reduction_reaches_the_same_and_no_edge_can_be_spared(graph):
    whole = graph.to_networkx(flat=False)
    edges = graph.reduction()
    assert len(set(edges)) == len(edges)
    assert set(edges) == set(nx.transitive_reduction(whole).edges)
    keys = {key: number for number, key in enumerate(whole)}
    assert {(keys[p], keys[q]) for p, q in edges} == slow.reduction({(keys[p], keys[q]) for p, q in whole.edges})
    reduced = nx.DiGraph(edges)
    reduced.add_nodes_from(whole)
    assert all(nx.descendants(reduced, key) == nx.descendants(whole, key) for key in whole)


@given(st.integers(2, 30), st.integers(0, 2**32))
@SOME
def test_the_reduction_of_larger_acyclic_graphs_is_that_of_networkx(nodes, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(nodes)
    pairs = [(2 * p + 1, 2 * q + 1) for i, p in enumerate(order) for q in order[i + 1 :] if rng.random() < 0.3]
    graph = NDG(implications(rng.random((9, nodes)) < 0.5, space(nodes, 0), pairs))
    assert set(graph.reduction()) == set(nx.transitive_reduction(graph.to_networkx()).edges)


@given(any_graph)
@SOME
def test_descendants_in_networkx_are_those_of_the_closure(graph):
    whole = graph.to_networkx(flat=False)
    texts = {code: graph.nodes.text(Literal.of(code)) for code in range(2 * len(graph.nodes))}
    for key in whole:
        if whole.nodes[key]["contradictory"]:
            continue
        reached = {text for other in nx.descendants(whole, key) | {key} for text in whole.nodes[other]["members"]}
        assert reached == {texts[literal.code] for literal in graph.closure(key)}


def test_numbers_of_components_do_not_depend_on_who_found_them():
    graph = drawn()
    assert [members[0] for members in graph.condensation.members] == sorted(
        (members[0] for members in graph.condensation.members),
        key=lambda code: (graph.condensation.level[graph.condensation.component[code]], code),
    )
    assert graph.key("a:3") == "a:2"
    assert graph.key("~b:1") == "~b:0"


def test_levels_need_an_acyclic_graph():
    tails, heads = np.array([0, 1, 2, 3]), np.array([1, 2, 1, 0])
    with pytest.raises(GraphError, match="need an acyclic graph; 2 nodes are on or behind a cycle"):
        levels(4, tails, heads)


def test_a_constant_in_an_implication_is_refused():
    values = np.ones((4, 2), bool)
    with pytest.raises(GraphError, match="a constant must take part in no implication; a:0 does"):
        NDG(implications(values, space(2, 0), [(1, 3)], {0}))
