"""Structural causal model: rules, interventions and unfolded values."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.bits.matrix import BitMatrix
from ndg.errors import BitsError, GraphError, ShapeError
from ndg.graph.closure import negated
from ndg.graph.ndg import NDG
from ndg.graph.scm import GIVEN, decided, label_of, marked
from ndg.nodes import LABEL
from tests.references import graph as slow
from tests.references import interchange as reference
from tests.references.graph_cases import drawn, edges_of, graphs


def bits_of(graph: NDG, rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((rows, len(graph.nodes))) < 0.5


def codes(row: np.ndarray) -> set[int]:
    return {2 * node + int(on) for node, on in enumerate(row)}


def test_rules_are_those_drawn_by_hand():
    scm = drawn().scm()
    assert scm.rule("a:1") == "a:0"
    assert scm.rule("label:0") == "a:1", "what follows from another rule is not told"
    assert scm.rule("a:3") == "a:2"
    assert scm.rule("label:1") == "a:2 or a:3", "all members of a class are parents"
    assert scm.rule("b:0") == "b:1 or b:2"
    assert scm.rule("~a:0") == "~a:1", "the contradictory class b:3, b:4 concludes nothing"
    assert scm.rule("b:3") == scm.rule("a:0") == scm.rule("a:4") == GIVEN
    assert scm.parents("~a:2") == ("~a:3", "~label:1")
    assert set(scm.rules()) == {text for part in scm.order for text in part if scm.rule(text) != GIVEN}


def test_do_cuts_the_rules_of_what_it_sets_and_no_others():
    scm = drawn().scm()
    done = scm.do({"a:1": 1, "b:0": False})
    assert (done.rule("a:1"), done.rule("~a:1")) == ("true", "false")
    assert (done.rule("b:0"), done.rule("~b:0")) == ("false", "true")
    assert done.parents("a:1") == ()
    assert done.rule("label:0") == scm.rule("label:0") == "a:1"
    assert done.rule("b:1") == "b:0 or b:2"
    assert done.interventions == {"a:1": True, "b:0": False}
    assert scm.interventions == {}


def test_set_variables_stand_against_each_other():
    """a:0 implies a:1 and label:0; with a:1 set off, a:0 no longer reaches label:0."""
    graph = drawn()
    off = np.zeros((1, 12), np.bool_)
    at = graph.nodes.index
    found = graph.scm().do({"a:0": 1, "a:1": 0}).unfold(off, given=())
    assert (found[0, at("a:0")], found[0, at("a:1")]) == (1, 0)
    assert found[0, at("label:0")] == -1
    assert graph.scm().do({"a:0": 1}).unfold(off, given=())[0, at("label:0")] == 1


def parents_before(order: tuple[tuple[str, ...], ...], scm: object) -> bool:
    place = {text: number for number, part in enumerate(order) for text in part}
    return all(place[parent] <= place[text] for text in place for parent in scm.parents(text))  # type: ignore[attr-defined]


@settings(deadline=None, max_examples=25)
@given(graphs(), st.integers(0, 1000))
def test_the_order_is_acyclic_and_the_rules_give_the_closure(graph, seed):
    scm = graph.scm()
    assert parents_before(scm.order, scm)
    nodes = graph.nodes
    row = bits_of(graph, 1, seed)[0]
    start = {code for code in codes(row) if seed % 3 or code % 3}
    found = set(start)
    for part in (*scm.order, *scm.order):  # twice, as members of a class are parents of each other
        for text in part:
            if any(nodes.literal(parent).code in found for parent in scm.parents(text)):
                found.add(nodes.literal(text).code)
    assert found == slow.closure(2 * len(nodes), edges_of(graph), start)


@settings(deadline=None, max_examples=50)
@given(graphs(max_nodes=6), st.data())
def test_unfolding_is_what_follows_from_the_set_literals_and_the_rest(graph, data):
    """Contradictory interventions stay as set, and rules into them are cut."""
    nodes, edges = len(graph.nodes), edges_of(graph)
    values = bits_of(graph, 3, data.draw(st.integers(0, 1000)))
    wanted = data.draw(st.dictionaries(st.integers(0, nodes - 1), st.booleans(), max_size=3))
    groups = [name for name, _ in graph.nodes.groups]
    given_layers = data.draw(st.sets(st.sampled_from(groups)))
    given_nodes = {
        node for name in given_layers for node in range(graph.nodes.slice(name).start, graph.nodes.slice(name).stop)
    }
    scm = graph.scm().do({graph.nodes.name(node): on for node, on in wanted.items()})
    found = scm.unfold(values, given=given_layers)
    forced = {2 * node + on for node, on in wanted.items()}
    follows = slow.closure(2 * nodes, edges, forced)
    if any(code ^ 1 in follows for code in forced):
        assert all(found[:, node].tolist() == [int(on)] * 3 for node, on in wanted.items())
        free = {(p, q) for p, q in rules_of(scm) if q >> 1 not in wanted}
        for row, base in zip(found, map(codes, values), strict=True):
            first = rule_closure(free, forced)
            left = {code for code in base if code >> 1 in given_nodes - set(wanted) and code ^ 1 not in first}
            whole = rule_closure(free, first | left)
            assert row.tolist() == [reference.value(node, whole) for node in range(nodes)]
        return
    for row, base in zip(found, map(codes, values), strict=True):
        expected = reference.unfolded(2 * nodes, edges, forced, base, given_nodes)
        assert row.tolist() == [reference.value(node, expected) for node in range(nodes)]


def rules_of(scm) -> set[tuple[int, int]]:
    code = {text: scm.nodes.literal(text).code for part in scm.order for text in part}
    return {(code[parent], own) for text, own in code.items() for parent in scm.parents(text)}


def rule_closure(rules: set[tuple[int, int]], start: set[int]) -> set[int]:
    return set().union(*(slow.reachable(rules, code) for code in start))


@settings(deadline=None, max_examples=25)
@given(graphs(), st.integers(0, 1000))
def test_unfolding_again_and_setting_again_change_nothing(graph, seed):
    values = bits_of(graph, 4, seed)
    name = graph.nodes.name(seed % len(graph.nodes))
    scm = graph.scm().do({name: seed % 2})
    once = scm.unfold(values)
    again = scm.do({name: seed % 2})
    assert np.array_equal(again.unfold(values), once)
    assert scm.rules() == again.rules()
    clear = (once >= 0).all(axis=1)
    assert np.array_equal(scm.unfold(once[clear] == 1)[:, graph.nodes.labels :], once[clear][:, graph.nodes.labels :])


def test_a_bit_matrix_is_read_as_its_booleans_and_labels_are_not_given():
    graph = drawn()
    values = bits_of(graph, 70, 3)
    bits = BitMatrix.from_bool(values, graph.nodes)
    assert np.array_equal(graph.scm().unfold(bits), graph.scm().unfold(values))
    other = values.copy()
    other[:, graph.nodes.slice(LABEL)] ^= True
    assert np.array_equal(graph.scm().unfold(other), graph.scm().unfold(values))


def test_literals_and_labels_of_arrays():
    values = np.array([[True, False], [False, False]])
    literals = marked(values, np.array([[True, True], [True, False]]))
    assert literals.tolist() == [[False, True, True, False], [True, False, False, False]]
    assert negated(literals).tolist() == [[True, False, False, True], [False, True, False, False]]
    assert decided(literals | negated(literals)).tolist() == [[-1, -1], [-1, -1]]
    assert label_of(literals, 2).tolist() == [0, -1]
    assert label_of(np.array([[True, True, False, True], [False, True, True, True]]), 2).tolist() == [-1, -1]
    assert label_of(np.zeros((2, 4), np.bool_), 0).tolist() == [-1, -1]


def test_what_is_asked_for_must_exist():
    scm = drawn().scm()
    with pytest.raises(GraphError, match="no layer 'c' in this graph; there is: label, a, b"):
        scm.do({"c:0": 1})
    with pytest.raises(GraphError, match=re.escape("a variable must be set to 1 (on) or 0 (off); got 2 for 'a:0'")):
        scm.do({"a:0": 2})
    with pytest.raises(ShapeError, match="the model has 12 variables; got bits of 3 nodes"):
        scm.unfold(np.zeros((2, 3), np.bool_))
    with pytest.raises(ShapeError, match=r"got an array of shape \(12,\); pass booleans of shape \(example, node\)"):
        scm.unfold(np.zeros(12, np.bool_))
    with pytest.raises(BitsError, match="bits to unfold must be booleans; got int64"):
        scm.unfold(np.zeros((2, 12), np.int64))
    with pytest.raises(GraphError, match="no layer 'later'"):
        scm.unfold(np.zeros((2, 12), np.bool_), given=["later"])
