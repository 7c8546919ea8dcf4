"""Two graphs edge by edge, against sets of literals; and by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg import discovery
from ndg.comparison.difference import diff
from ndg.comparison.edges import ends, keys, shuffled
from ndg.comparison.resampling import take
from ndg.comparison.units import match_units
from ndg.errors import ConfigError, GraphError
from ndg.graph.ndg import NDG
from ndg.intervals import wilson
from ndg.nodes import LayerUnits, NodeSpace
from tests.comparison.cases import bits
from tests.references.graph_cases import drawn, edges_of, graphs, implications

NODES = NodeSpace(1, (LayerUnits("a", 3), LayerUnits("b", 2)))


def graph_of(*pairs):
    """The graph of these implications and their contrapositives."""
    values = np.random.default_rng(0).random((100, len(NODES))) < 0.5
    edges = [(NODES.literal(p).code, NODES.literal(q).code) for p, q in pairs]
    return NDG(implications(values, NODES, edges))


A = graph_of(("a:0", "a:1"), ("a:0", "b:0"), ("a:1", "label:0"))
B = graph_of(("a:0", "a:1"), ("a:0", "~b:0"), ("b:1", "label:0"), ("a:2", "b:0"))


def test_a_difference_by_hand():
    found = diff(A, B, rounds=20)
    one = found.overlap
    assert (one.both, one.only_a, one.only_b, one.contradicting) == (2, 4, 6, 1)
    assert one.jaccard == pytest.approx(1 / 6)
    assert (one.low, one.high) == pytest.approx(tuple(map(float, wilson(1, 6))))
    rows = {(row["first"], row["second"]): row for row in found.rows()}
    assert set(rows) == {("all", "all"), ("a", "a"), ("a", "b"), ("label", "a"), ("label", "b")}
    assert (rows["a", "b"]["only_a"], rows["a", "b"]["only_b"], rows["a", "b"]["contradicting"]) == (2, 4, 1)
    frame = found.edges_frame().set_index(["antecedent", "consequent"])
    assert len(frame) == 12
    assert frame.loc[("a:0", "a:1"), "in"] == "both"
    assert frame.loc[("a:0", "b:0"), "in"] == "a"
    assert frame.loc[("b:1", "label:0"), "in"] == "b"
    contradicted = frame[frame.contradicted].index.tolist()
    assert contradicted == [("a:0", "~b:0"), ("a:0", "b:0")]
    own = A.edges_frame().set_index(["antecedent", "consequent"]).precision
    assert frame.loc[("a:0", "b:0"), "precision_a"] == own[("a:0", "b:0")]
    assert np.isnan(frame.loc[("a:0", "b:0"), "precision_b"])
    assert found.words().startswith("2 of 12 edges are in both graphs: Jaccard 0.167 [")
    assert "4 are in a only, 6 in b only; 1 of a are contradicted by b." in found.words()


@given(graphs(), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_graph_differs_from_itself_in_nothing(graph, rounds):
    found = diff(graph, graph, rounds=rounds)
    assert (found.overlap.both, found.overlap.only_a, found.overlap.only_b) == (len(graph.implications), 0, 0)
    assert found.overlap.jaccard == (1 if len(graph.implications) else None)
    assert found.overlap.rounds == rounds
    json.dumps(found.to_dict(), allow_nan=False)
    if not len(graph.implications):
        assert found.words() == "Neither graph has an edge."


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_difference_is_that_of_the_sets_of_edges(data):
    first = data.draw(graphs())
    keep = data.draw(st.sets(st.sampled_from(sorted(edges_of(first))))) if edges_of(first) else set()
    literals = [code for code in range(2 * len(first.nodes)) if code >> 1 not in {x.node for x in first.constants}]
    more = data.draw(st.sets(st.tuples(st.sampled_from(literals), st.sampled_from(literals)))) if literals else set()
    values = np.random.default_rng(0).random((40, len(first.nodes))) < 0.5
    kept = {edge for edge in keep | more if edge[0] != edge[1]}
    second = NDG(implications(values, first.nodes, kept))
    a, b = edges_of(first), edges_of(second)
    found = diff(first, second, rounds=2)
    one = found.overlap
    assert (one.both, one.only_a, one.only_b) == (len(a & b), len(a - b), len(b - a))
    assert one.contradicting == len({(p, q) for p, q in a if (p, q ^ 1) in b})
    frame = found.edges_frame()
    assert len(frame) == len(a | b)
    for row in frame.itertuples():
        p, q = first.literal(row.antecedent).code, first.literal(row.consequent).code
        where = {"both": (True, True), "a": (True, False), "b": (False, True)}[frame.loc[row.Index, "in"]]
        assert where == ((p, q) in a, (p, q) in b)
        assert row.contradicted == (((p, q) in a and (p, q ^ 1) in b) or ((p, q) in b and (p, q ^ 1) in a))
    parts = found.overlaps[1:]
    assert sum(part.both for part in parts) == one.both
    assert sum(part.contradicting for part in parts) == one.contradicting
    back = diff(second, first, rounds=2).overlap
    assert (back.both, back.only_a, back.only_b, back.contradicting) == (
        one.both,
        one.only_b,
        one.only_a,
        one.contradicting,
    )
    assert back.jaccard == one.jaccard


def test_shuffled_units_overlap_less_and_the_draw_is_that_of_the_seed():
    graph = drawn()
    found = diff(graph, graph, rounds=200, seed=1)
    one = found.overlap
    assert one.shuffled_low <= one.shuffled <= one.shuffled_high < 1
    assert 1 / 201 <= one.p_value < 0.1
    assert diff(graph, graph, rounds=200, seed=1).rows() == found.rows()
    assert diff(graph, graph, rounds=200, seed=2).overlap.shuffled != one.shuffled
    assert (diff(graph, graph, rounds=0).overlap.shuffled, diff(graph, graph, rounds=0).overlap.p_value) == (None, None)


def test_the_control_is_the_overlap_with_a_graph_whose_units_were_shuffled():
    values = np.random.default_rng(0).random((100, len(NODES))) < 0.5
    expected = []
    for turn in range(30):
        found = shuffled(keys(B), NODES, 4, "diff", turn)
        tails, heads = ends(found, NODES)
        moved = NDG(implications(values, NODES, set(zip(tails.tolist(), heads.tolist(), strict=True))))
        assert len(moved.implications) == len(B.implications)
        expected.append([(row["first"], row["second"], row["jaccard"]) for row in diff(A, moved, rounds=0).rows()])
    for row in diff(A, B, rounds=30, seed=4).rows():
        each = [
            value
            for one in expected
            for first, second, value in one
            if (first, second) == (row["first"], row["second"])
        ]
        assert row["shuffled"] == pytest.approx(np.mean(each))
        assert row["p_value"] == pytest.approx((1 + sum(value >= row["jaccard"] for value in each)) / 31)


def test_where_a_layer_has_one_unit_shuffling_changes_nothing():
    nodes = NodeSpace(2, (LayerUnits("a", 1), LayerUnits("b", 1)))
    values = np.random.default_rng(0).random((100, 4)) < 0.5
    graph = NDG(implications(values, nodes, [(5, 7), (1, 5)]))
    one = diff(graph, graph, rounds=5).overlap
    assert (one.shuffled, one.p_value) == (1, 1)


def test_other_nodes_and_matchings_are_refused():
    with pytest.raises(
        GraphError, match=r"graphs are compared over the same nodes: .* pass the matching of their units"
    ):
        diff(A, drawn())
    match = match_units(bits(), bits())
    with pytest.raises(GraphError, match=r"a matching belongs to two graphs: .* in this order"):
        diff(A, B, match)
    with pytest.raises(ConfigError, match="at least 0; got -1"):
        diff(A, B, rounds=-1)


def test_the_control_keeps_the_freedom_of_matching():
    """Of booleans that have nothing in common but their form, matched: the index stands out of the shuffled one, and
    not out of that of a control."""
    a, b, c = (bits(seed=seed, units=6) for seed in range(3))
    b, c = (independent_of(one, seed) for seed, one in enumerate((b, c)))
    graphs = [discovery.mine(one, alpha=1.5) for one in (a, b, c)]
    match, other = match_units(a, b), match_units(a, c)
    found = diff(graphs[0], graphs[1], match, control=graphs[2], control_match=other, rounds=50)
    plain, expected = diff(graphs[0], graphs[1], match, rounds=50), diff(graphs[0], graphs[2], other, rounds=0)
    assert found.overlap.jaccard == plain.overlap.jaccard
    assert plain.overlap.control is None
    alike = {(one.first, one.second): one for one in expected.overlaps}
    for one in found.overlaps:
        own = alike.get((one.first, one.second))
        told = (None, None, None) if own is None else (own.jaccard, own.low, own.high)
        assert (one.control, one.control_low, one.control_high) == told
    assert found.overlap.control is not None
    assert f"; a re-initialised network, matched alike: {expected.overlap.jaccard:.3f} [" in found.words()
    assert "re-initialised" not in plain.words()
    json.dumps(found.to_dict(), allow_nan=False)


def independent_of(own, seed):
    """The same booleans in another order of examples: as dependent among themselves, on others not."""
    return take(own, np.random.default_rng(seed).permutation(own.examples))
