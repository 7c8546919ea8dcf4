"""Figures of Table 2 against a slow transcription, and a hand-drawn graph."""

from dataclasses import asdict
from itertools import islice

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.errors import ShapeError
from ndg.graph import agreement
from ndg.graph.ndg import NDG
from ndg.graph.statistics import CYCLE_LIMIT
from tests.references import graph as slow
from tests.references.graph_cases import (
    constant_nodes,
    drawn,
    edges_of,
    graphs,
    implications,
    mined,
    pack,
    space,
)

SOME = settings(max_examples=40, deadline=None)


@given(st.one_of(graphs(), mined().map(lambda case: case[0])))
@SOME
def test_the_figures_are_what_their_definitions_count(graph):
    edges, literals, constants = edges_of(graph), 2 * len(graph.nodes), constant_nodes(graph)
    stats = graph.stats()
    assert asdict(stats.paper) == slow.paper_figures(literals, edges, constants, graph.nodes.neurons, CYCLE_LIMIT)
    assert asdict(stats.condensed) == slow.condensed_figures(
        literals, edges, constants, graph.nodes.neurons, CYCLE_LIMIT
    )
    assert stats.equivalent_pairs == len({frozenset(edge) for edge in edges if edge[::-1] in edges})
    one_way = {(p, q) for p, q in edges if (q, p) not in edges}
    assert stats.cyclic_components == sum(len(part) > 1 for part in slow.components(literals, one_way))
    assert stats.contradictory == len(graph.contradictory)


def test_the_figures_of_the_graph_drawn_by_hand():
    stats = drawn().stats()
    assert asdict(stats.paper) == {
        "neurons": 10,
        "nodes": 22,  # both values of 12 nodes without the constant
        "edges": 23,  # 27 implications, 4 of them between the two pairs of equivalent literals
        "isolated": 2,  # a:2 and ~a:2 have no other
        "equivalent": 4,
        "constant": 1,
        "mean_degree": pytest.approx(46 / 22),
        "height": None,
        "cycles": 4,  # b:0 b:1 b:2, its mirror image, and two through b:3 and ~b:3
        "contradictions": 6,  # b:3 and b:4 on and off, a:0 which implies b:3, ~label:1
        "components": 5,
    }
    assert asdict(stats.condensed) == {
        "neurons": 10,
        "nodes": 13,
        "edges": 8,
        "isolated": 3,
        "equivalent": 10,
        "constant": 1,
        "mean_degree": pytest.approx(16 / 13),
        "height": 2,
        "cycles": 0,
        "contradictions": 1,
        "components": 7,
    }
    assert (stats.equivalent_pairs, stats.cyclic_components, stats.contradictory) == (2, 3, 1)
    assert [(len(one.members), one.direct, one.pairs, one.exact) for one in stats.classes] == [
        (2, 1, 1, True),
        (2, 1, 1, True),
        (3, 0, 3, True),
        (3, 0, 3, True),
    ]


@given(mined())
@SOME
def test_agreement_counted_on_the_mined_bits_is_that_of_the_definition_and_bounded_without_them(case):
    graph, values, labels = case
    counted, bounded = (graph.stats(bits) for bits in (pack(values, labels), None))
    for one, other, members in zip(counted.classes, bounded.classes, graph.classes, strict=True):
        expected = slow.agreement(values, [literal.code for literal in members])
        assert one.worst == pytest.approx(expected)
        assert one.exact
        assert other.worst <= expected + 1e-9
        assert not other.exact or other.worst == pytest.approx(expected)
        assert one.direct == other.direct <= one.pairs


def test_two_members_joined_through_a_third_only_are_bounded_by_the_way_between_them():
    values = np.zeros((100, 3), bool)
    values[:50, 0], values[3:53, 1], values[6:56, 2] = True, True, True
    chain = [(1, 3), (3, 1), (3, 5), (5, 3)]
    graph = NDG(implications(values, space(3, 0), chain))
    bounded, counted = graph.stats().classes[-1], graph.stats(pack(values, 0)).classes[-1]
    assert (bounded.direct, bounded.pairs, bounded.exact) == (2, 3, False)
    assert bounded.worst == counted.worst == pytest.approx(0.88)
    assert counted.exact


def test_cycles_are_counted_up_to_a_limit():
    rng = np.random.default_rng(0)
    tournament = [
        (2 * p + 1, 2 * q + 1) if rng.random() < 0.5 else (2 * q + 1, 2 * p + 1) for q in range(14) for p in range(q)
    ]
    graph = NDG(implications(rng.random((9, 14)) < 0.5, space(14, 0), tournament))
    assert graph.stats().paper.cycles == CYCLE_LIMIT
    assert graph.stats().paper.height is None
    assert "<th>cycles</th><td>≥ 1,000</td><td>0</td>" in graph.stats()._repr_html_()


def ring(size: int, chords: list[tuple[int, int]]) -> NDG:
    edges = [(2 * p + 1, 2 * ((p + 1) % size) + 1) for p in range(size)]
    chords = [(2 * p + 1, 2 * q + 1) for p, q in chords]
    return NDG(implications(np.zeros((2, size), bool), space(size, 0), edges + chords))


@given(st.integers(3, 14), st.data())
@SOME
def test_cycles_of_rings_with_chords_are_those_of_networkx(size, data):
    node = st.integers(0, size - 1)
    chords = data.draw(st.lists(st.tuples(node, node).filter(lambda ends: ends[0] != ends[1]), max_size=12))
    graph = ring(size, chords)
    edges = edges_of(graph)
    found = nx.DiGraph([edge for edge in edges if edge[::-1] not in edges])
    assert graph.stats().paper.cycles == min(sum(1 for _ in islice(nx.simple_cycles(found), CYCLE_LIMIT)), CYCLE_LIMIT)


def test_cycles_of_a_long_ring_with_few_chords_are_counted_and_not_walked_again_and_again():
    assert ring(5000, []).stats().paper.cycles == 2
    shortcuts = ring(5000, [(10 * k, 10 * k + 5) for k in range(8)])
    assert shortcuts.stats().paper.cycles == 2 * 2**8
    assert ring(5000, [(10 * k, 10 * k + 5) for k in range(400)]).stats().paper.cycles == CYCLE_LIMIT


def test_large_classes_are_bounded_through_some_of_their_members(monkeypatch):
    rng = np.random.default_rng(0)
    values = (rng.random((300, 1)) < 0.5) ^ (rng.random((300, 40)) < 0.02)
    edges = [(2 * p + 1, 2 * q + 1) for p in range(40) for q in rng.choice(40, 4, replace=False).tolist() if p != q]
    graph = NDG(implications(values, space(40, 0), edges + [(q, p) for p, q in edges]))
    exact, near = graph.stats(pack(values, 0)).classes[0], graph.stats().classes[0]
    monkeypatch.setattr(agreement, "PATHS", 0)
    far = graph.stats().classes[0]
    assert 0 < far.worst <= near.worst <= exact.worst
    assert (exact.exact, near.exact, far.exact) == (True, False, False)
    monkeypatch.setattr(agreement, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(agreement, "WORDS_AT_ONCE", 2)
    assert graph.stats(pack(values, 0)).classes[0] == exact


def test_figures_show_as_a_table_a_record_and_a_page():
    stats = drawn().stats()
    frame = stats.frame()
    assert list(frame.columns) == ["paper", "condensed"]
    assert frame.loc["height"].tolist() == [None, 2]
    assert stats.to_dict()["worst_agreement"] == stats.worst_agreement == min(one.worst for one in stats.classes)
    assert "<tr><th>mean degree</th><td>2.09</td><td>1.23</td></tr>" in stats._repr_html_()
    assert "<th>height</th><td>–</td><td>2</td>" in stats._repr_html_()


def test_an_empty_graph_has_figures():
    graph = NDG(implications(np.ones((3, 2), bool), space(2, 1), [], {0, 1}))
    stats = graph.stats()
    assert (stats.paper.nodes, stats.paper.mean_degree, stats.paper.height, stats.worst_agreement) == (0, 0.0, 0, None)
    assert not graph.to_networkx()
    assert graph.reduction() == ()


def test_agreement_on_bits_of_other_nodes_is_refused():
    with pytest.raises(ShapeError, match="over the graph's nodes: expected"):
        drawn().stats(pack(np.ones((3, 2), bool), 1))
