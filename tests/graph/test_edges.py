"""Table of implications; filters and subgraphs keep pairs together."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.discovery import mine
from ndg.errors import GraphError
from ndg.graph.edges import contrapositives, strongest
from ndg.graph.ndg import NDG
from ndg.graph.traversal import strongest_edges
from ndg.mining.miner import find
from ndg.mining.significance import edge_significance
from tests.references import graph as slow
from tests.references.graph_cases import drawn, edges_of, graphs, mined, oddly_named, pack

SOME = settings(max_examples=40, deadline=None)
bound = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 0.8, 0.95, 1.0]))


@given(mined())
@SOME
def test_the_table_holds_what_the_booleans_say(case):
    graph, values, _ = case
    frame = graph.edges_frame()
    edges = edges_of(graph)
    assert len(frame) == len(graph)
    for row in frame.itertuples():
        p, q = graph.literal(row.antecedent), graph.literal(row.consequent)
        has_p, has_q = values[:, p.node] == p.value, values[:, q.node] == q.value
        both = int((has_p & has_q).sum())
        assert (row.support, row.exceptions) == (both, has_p.sum() - both)
        assert row.precision == pytest.approx(both / has_p.sum())
        assert row.recall == pytest.approx(both / has_q.sum())
        assert row.lift == pytest.approx(row.precision / has_q.mean())
        assert (row.antecedent_prior, row.consequent_prior) == pytest.approx((has_p.mean(), has_q.mean()))
        assert row.equivalent == ((q.code, p.code) in edges)
        assert row.antecedent_layer == graph.nodes.layer(p.node)
        assert row.consequent_layer == graph.nodes.layer(q.node)


@given(mined())
@settings(max_examples=10, deadline=None)
def test_the_table_has_the_significance_of_each_implication_and_of_its_contrapositive(case):
    graph = case[0]
    frame = graph.edges_frame()
    p_values, q_values = edge_significance(graph.implications)
    np.testing.assert_array_equal(frame.p_value, p_values)
    np.testing.assert_array_equal(frame.q_value, q_values)
    where = contrapositives(graph.implications)
    assert frame.p_value[where].tolist() == pytest.approx(frame.p_value.tolist())


def test_figures_of_which_nothing_is_known_are_null():
    untested = drawn().edges_frame()
    assert untested.q_value.isna().all()
    assert untested.p_value.notna().all()
    unseen = NDG(replace(drawn().implications, examples=0, on=np.zeros(12, int), exceptions=np.zeros(27, int)))
    figures = ["precision", "recall", "lift", "antecedent_prior", "consequent_prior", "p_value", "q_value"]
    assert unseen.edges_frame()[[*figures, "exceptions", "support"]].isna().all(axis=None)


def test_concepts_are_kept_where_they_are_named():
    graph = oddly_named()
    assert edges_of(graph.filter(layers=["enc.0", "b"])) == {(3, 5), (4, 2)}
    assert len(graph.filter(layers=["enc.0", "b", "concept"])) == len(graph)
    part = graph.subgraph(["b", "concept"], labels=False)
    assert list(part.nodes.nodes()) == ["b:0", *(f"concept:{name}" for name in graph.nodes.concepts)]
    assert len(part.thresholds) == part.nodes.neurons == graph.stats().paper.neurons - 2 == 1
    assert graph.subgraph(["enc.0"]).nodes.concepts == ()
    assert len(graph.subgraph(["enc.0"]).thresholds) == 2


@given(mined(), bound, bound, st.one_of(st.none(), st.integers(0, 60)))
@SOME
def test_a_filter_keeps_an_implication_iff_it_and_its_contrapositive_meet_the_bounds(case, precision, recall, support):
    graph = case[0]
    kept = graph.filter(min_precision=precision, min_recall=recall, min_support=support)
    meets = {
        (graph.literal(row.antecedent).code, graph.literal(row.consequent).code): (
            (precision is None or row.precision >= precision)
            and (recall is None or row.recall >= recall)
            and (support is None or row.support >= support)
        )
        for row in graph.edges_frame().itertuples()
    }
    expected = {edge for edge in meets if meets[edge] and meets[slow.contrapositive(edge)]}
    assert edges_of(kept) == expected
    assert kept.nodes == graph.nodes
    assert kept.filter(min_precision=precision, min_recall=recall, min_support=support) == kept


@pytest.mark.parametrize("figure", ["precision", "recall", "support"])
def test_an_implication_at_the_bound_itself_is_kept(figure):
    graph = drawn()
    values = graph.edges_frame()[figure].to_numpy()
    lower = np.minimum(values, values[contrapositives(graph.implications)])
    kept = graph.filter(**{f"min_{figure}": lower.max().item()})
    assert len(kept) == (lower == lower.max()).sum() > 0


@given(graphs())
@SOME
def test_a_filter_on_layers_keeps_what_lies_among_them_and_the_labels(graph):
    layers = [layer.name for layer in graph.nodes.layers][:1]
    kept = graph.filter(layers=layers)
    inside = [layer in ("label", *layers) for layer in map(graph.nodes.layer, range(len(graph.nodes)))]
    assert edges_of(kept) == {(p, q) for p, q in edges_of(graph) if inside[p // 2] and inside[q // 2]}


@given(graphs(), st.booleans())
@SOME
def test_a_subgraph_has_the_implications_among_its_nodes_and_their_counts(graph, labels):
    layers = [layer.name for layer in graph.nodes.layers][1:]
    if not layers and not (labels and graph.nodes.labels):
        with pytest.raises(GraphError, match="at least one node"):
            graph.subgraph(layers, labels)
        return
    part = graph.subgraph(layers, labels)
    names = set(part.nodes.nodes())
    assert names == {
        name
        for node, name in enumerate(graph.nodes.nodes())
        if (labels if graph.nodes.is_label(node) else graph.nodes.layer(node) in layers)
    }

    def table(of):
        frame = of.edges_frame()
        wanted = frame.antecedent.str.removeprefix("~").isin(names) & frame.consequent.str.removeprefix("~").isin(names)
        return frame[wanted].set_index(["antecedent", "consequent"]).sort_index()

    assert table(part).compare(table(graph)).empty if len(table(graph)) else not len(table(part))
    assert [part.nodes.text(c) for c in part.constants] == [
        graph.nodes.text(c) for c in graph.constants if graph.nodes.name(c.node) in names
    ]
    for node, name in enumerate(part.nodes.nodes()):
        old = graph.nodes.index(name)
        assert part.implications.on[node] == graph.implications.on[old]
        assert (part.implications.with_label[:, node] == graph.implications.with_label[: part.nodes.labels, old]).all()


@given(graphs())
@SOME
def test_the_strongest_implication_between_two_classes_has_the_highest_precision(graph):
    best = strongest(graph.implications, graph.condensation)
    frame, component = graph.edges_frame(), graph.condensation.component
    tails, heads = component[graph.implications.antecedents], component[graph.implications.consequents]
    for arc, (tail, head) in enumerate(zip(graph.condensation.tails, graph.condensation.heads, strict=True)):
        among = frame[(tails == tail) & (heads == head)].fillna({"precision": -1})
        order = among.sort_values(["precision", "support"], ascending=False, kind="stable")
        assert best[arc] == order.index[0], "the highest precision, then the highest support, then the first"


def test_every_implication_knows_where_its_contrapositive_stands():
    found = drawn().implications
    where = contrapositives(found)
    assert (found.antecedents[where] == (found.consequents ^ 1)).all()
    assert (where[where] == np.arange(len(found))).all()


def test_steps_are_remembered_and_thresholds_follow_the_layers():
    values = np.random.default_rng(0).random((60, 5)) < 0.5
    values[:, 2] = values[:, 1]
    graph = mine(pack(values, 1, np.array([0.1, 0.2, 0.3, 0.4])), alpha=2, provenance={"layer": "a"})
    part = graph.filter(min_support=5).subgraph("b")
    assert part.thresholds.tolist() == [0.3, 0.4]
    assert part.provenance == {
        "layer": "a",
        "filters": [{"min_support": 5}, {"subgraph": ["b"], "labels": True}],
    }
    assert graph.provenance == {"layer": "a"}


def test_mine_finds_what_the_miner_finds():
    values = np.random.default_rng(0).random((60, 5)) < 0.5
    values[:, 2] = values[:, 1]
    bits = pack(values, 1)
    graph = mine(bits, "confidence", confidence=0.9, support=3)
    assert edges_of(graph) == {(3, 5), (5, 3), (2, 4), (4, 2)}
    assert graph.criterion == find(bits, "confidence", confidence=0.9, support=3).criterion
    assert repr(graph) == "NDG(1 labels, 4 neurons, 4 implications, 60 examples)"


def test_mine_hands_every_parameter_on():
    values = np.random.default_rng(0).random((300, 9)) < 0.5
    values[:, 5:] |= values[:, 1:5]
    bits = pack(values, 1)
    for name, asked in (("ratio", {"alpha": 2.0}), ("wilson", {"bound": 0.9}), ("fisher", {"q": 0.01, "support": 3})):
        assert mine(bits, name, **asked).implications.criterion == find(bits, name, **asked).criterion
        assert edges_of(mine(bits, name, **asked)) == edges_of(NDG(find(bits, name, **asked)))
    between = mine(bits, "wilson", bound=0.9, pairs="between")
    assert edges_of(between) == edges_of(NDG(find(bits, "wilson", bound=0.9, pairs="between"))) != set()
    judged = mine(bits, lambda exceptions, antecedent, negation, examples: exceptions == 0)
    assert edges_of(judged) == edges_of(mine(bits, "confidence", confidence=1.0, support=1)) != set()


def test_bounds_and_layers_that_make_no_sense_are_refused():
    with pytest.raises(GraphError, match=r"min_precision must be a probability between 0 and 1; got 95"):
        drawn().filter(min_precision=95)
    with pytest.raises(GraphError, match=r"no layer 'c' in this graph"):
        drawn().filter(layers=["c"])
    with pytest.raises(GraphError, match=r"no layer 'c' in this graph"):
        drawn().subgraph(["a", "c"])


@pytest.mark.parametrize(
    ("precision", "support", "best"),
    [([0.9, 0.9], [5, 5], 0), ([0.9, 0.9], [5, 6], 1), ([0.9, 0.9], [6, 5], 0), ([0.8, 0.9], [6, 5], 1)],
)
def test_of_the_edges_between_two_components_the_first_strongest_stands_for_them(precision, support, best):
    starts, heads, component = np.array([0, 1, 1]), np.array([1]), np.array([0, 0, 1, 1])
    antecedents, consequents = np.array([0, 1], np.int32), np.array([2, 3], np.int32)
    chosen = np.empty(1, np.int64)
    strongest_edges(starts, heads, component, antecedents, consequents, np.array(precision), np.array(support), chosen)
    assert chosen.tolist() == [best]
