"""Edges by the parts that they join, against a loop over the rows of `NDG.evaluate`."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg import discovery
from ndg.bits.matrix import BitMatrix
from ndg.comparison.models import inter_layer, of_graph
from ndg.comparison.sections import Judged, all_possible, groups_of, possible_edges, sections
from ndg.errors import ConfigError, ShapeError
from ndg.nodes import LayerUnits, NodeSpace
from tests.comparison.cases import bits
from tests.references.graph_cases import mined, pack


def by_hand(graph, held_out):
    """For each pair of layers the rows of its edges, with the share of held-out examples of their consequent."""
    values, found = held_out.to_bool(), {}
    mutual = graph.edges_frame().equivalent
    for row, both in zip(graph.evaluate(held_out).itertuples(), mutual, strict=True):
        p, q = graph.literal(row.antecedent), graph.literal(row.consequent)
        order = [name for name, _ in graph.nodes.groups]
        pair = tuple(sorted((graph.nodes.layer(p.node), graph.nodes.layer(q.node)), key=order.index))
        prior = (values[:, q.node] == q.value).mean() if len(values) else np.nan
        found.setdefault(pair, []).append((row, both, prior))
    return found


@given(mined(), st.integers(0, 90), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_every_figure_is_that_of_its_edges(case, examples, seed):
    graph, values, labels = case
    held = pack(np.random.default_rng(seed).random((examples, values.shape[1])) < 0.3, labels)
    expected, rest = by_hand(graph, held), len(graph.implications)
    for section in sections(graph, held, *groups_of(graph.nodes)):
        rows, figures = expected.get((section.first, section.second), []), section.figures
        judged = [(row, prior) for row, _, prior in rows if row.n_antecedent]
        assert (figures.edges, figures.judged, figures.examples) == (len(rows), len(judged), examples)
        assert figures.equivalent == sum(both for _, both, _ in rows)
        assert figures.occurrences == sum(row.n_antecedent for row, _ in judged)
        assert figures.exceptions == sum(row.exceptions for row, _ in judged)
        rest -= figures.edges
        for name, numbers in {
            "mined_precision": [row.mined_precision for row, _, _ in rows],
            "precision": [row.precision for row, _ in judged],
            "low": [row.precision_low for row, _ in judged],
            "high": [row.precision_high for row, _ in judged],
            "chance": [prior for _, prior in judged],
        }.items():
            assert getattr(figures, name) == (pytest.approx(np.mean(numbers)) if numbers else None)
        if judged:
            assert 0 <= figures.low <= figures.precision <= figures.high <= 1
    assert rest == 0


@given(mined())
@settings(max_examples=30, deadline=None)
def test_possible_edges_are_the_pairs_of_literals_that_are_judged(case):
    graph, _, _ = case
    nodes, parts = graph.nodes, groups_of(graph.nodes)
    constant = {literal.node for literal in graph.constants}
    expected = dict.fromkeys(((i, j) for i in range(len(parts[1])) for j in range(i, len(parts[1]))), 0)
    for p in range(2 * len(nodes)):
        for q in range(2 * len(nodes)):
            seen = {nodes.layer(p >> 1), nodes.layer(q >> 1)} in ({"label"}, {"concept"})
            if p >> 1 != q >> 1 and not {p >> 1, q >> 1} & constant and not seen:
                i, j = sorted((int(parts[0][p >> 1]), int(parts[0][q >> 1])))
                expected[i, j] += 1
    found = possible_edges(graph, parts[0], len(parts[1]))
    assert {pair: int(found[pair]) for pair in expected} == expected
    assert all_possible(graph) == sum(expected.values()) == 2 * graph.implications.tests


def test_where_only_some_pairs_were_judged_the_possible_ones_are_not_known():
    graph = discovery.mine(bits(), alpha=5, pairs="between")
    assert all_possible(graph) is None
    assert {one.figures.possible for one in sections(graph, bits(seed=1), *groups_of(graph.nodes))} == {None}


def test_all_edges_have_the_means_of_held_out():
    graph, held = discovery.mine(bits(), alpha=5), bits(seed=1)
    figures, means = Judged.of(graph, held).figures(), graph.held_out(held)
    assert (figures.edges, figures.judged) == (means.implications, means.judged)
    assert figures.precision == pytest.approx(means.precision)


def chain(examples, seed, flips=0.0):
    """u:0 -> u:1 -> v:0 -> v:1 and nothing else; with flips of single bits."""
    rng = np.random.default_rng(seed)
    values = rng.random((examples, 5)) < [0.5, 0.3, 0.3, 0.3, 0.3]
    for column in (2, 3, 4):
        values[:, column] |= values[:, column - 1]
    values[:, 0] = rng.random(examples) < 0.5
    values ^= rng.random(values.shape) < flips
    return BitMatrix.from_bool(values, NodeSpace(1, (LayerUnits("u", 2), LayerUnits("v", 2))))


def test_a_chain_of_two_layers_has_its_edges_within_and_between():
    found = inter_layer(chain(4000, 0), chain(1000, 1, flips=0.05), alpha=20)
    edges = {(one.first, one.second): one.figures.edges for one in found.sections}
    assert edges == {
        ("label", "label"): 0,
        ("label", "u"): 0,
        ("label", "v"): 0,
        ("u", "u"): 2,
        ("u", "v"): 8,
        ("v", "v"): 2,
    }
    between = next(one for one in found.sections if (one.first, one.second) == ("u", "v"))
    assert between.figures.mined_precision == 1
    assert 0.8 < between.figures.precision < 1
    assert between.figures.chance < between.figures.precision
    assert all(one.shuffled == 0 for one in found.sections)


def test_a_result_is_plain_and_rows_say_what_is_within_and_between():
    found = inter_layer(bits(), bits(seed=1), alpha=5, seed=3)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["rows"] == found.rows()
    assert (document["examples"], document["seed"]) == (200, 3)
    assert document["criterion"]["alpha"] == 5
    assert len(found.frame()) == 6
    assert set(found.frame()["where"]) == {"within", "between"}
    graph = discovery.mine(bits(), alpha=5)
    assert [row | {"edges_shuffled": None} for row in found.rows()] == of_graph(graph, bits(seed=1)).rows()


def test_one_layer_and_other_held_out_nodes_are_refused():
    one = BitMatrix.from_bool(np.zeros((10, 3), bool), NodeSpace(1, (LayerUnits("u", 2),)))
    with pytest.raises(ConfigError, match=r"at least two layers; got u; extract with layers="):
        inter_layer(one, one)
    with pytest.raises(ShapeError, match="bits for evaluation must have the graph's nodes"):
        inter_layer(bits(), bits(units=5))
