"""Laws of what is drawn: nothing is told twice, nothing is lost, and every edge left out is accounted for."""

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.report import selection
from tests.references.graph_cases import graphs

LARGE = 10_000


def sound(dag):
    return [key for key, bad in dag.nodes(data="contradictory") if not bad]


def reachable(edges, nodes):
    graph = nx.DiGraph(list(edges))
    graph.add_nodes_from(nodes)
    return {(a, b) for a in graph for b in nx.descendants(graph, a)}


@given(graphs(max_nodes=6, max_edges=14))
def test_reduction_is_that_of_networkx(graph):
    dag = graph.to_networkx(flat=False)
    assert set(selection.reduction(dag, list(dag))) == set(nx.transitive_reduction(dag).edges)
    part = list(dag)[::2]
    assert set(selection.reduction(dag, part)) == set(nx.transitive_reduction(dag.subgraph(part)).edges)


@given(graphs(max_nodes=6, max_edges=14), st.integers(1, 12))
def test_drawn_mirrored_implied_and_outside_are_all_the_edges(graph, max_nodes):
    dag = graph.to_networkx(flat=False)
    chosen = selection.overview(dag, max_nodes)
    total = len(chosen.edges) + chosen.mirrored + chosen.implied + chosen.outside
    assert total == dag.number_of_edges()
    assert len(chosen.nodes) <= max_nodes
    assert {key for edge in chosen.edges for key in edge} <= set(chosen.nodes)


@given(graphs(max_nodes=6, max_edges=14))
def test_one_edge_of_every_mirrored_pair_is_drawn(graph):
    dag = graph.to_networkx(flat=False)
    twin = selection.mirror(dag)
    drawn = set(selection.overview(dag, LARGE).edges)
    for tail, head in nx.transitive_reduction(dag).edges:
        image = (twin[head], twin[tail])
        assert ((tail, head) in drawn) + (image in drawn and image != (tail, head)) == 1


@given(graphs(max_nodes=6, max_edges=14))
def test_drawn_edges_and_their_mirror_images_imply_all_that_the_graph_implies(graph):
    dag = graph.to_networkx(flat=False)
    twin = selection.mirror(dag)
    drawn = selection.overview(dag, LARGE).edges
    both = {*drawn, *((twin[head], twin[tail]) for tail, head in drawn)}
    assert reachable(both, sound(dag)) == reachable(dag.edges, sound(dag))


@given(graphs(max_nodes=6, max_edges=14))
def test_an_edge_that_ends_in_a_predicted_label_is_preferred_to_its_image(graph):
    dag = graph.to_networkx(flat=False)
    twin = selection.mirror(dag)

    def predicts(key):
        return any(member.startswith("label:") for member in dag.nodes[key]["members"])

    for tail, head in selection.overview(dag, LARGE).edges:
        assert predicts(head) or not predicts(twin[tail])


@given(graphs(max_nodes=6, max_edges=14), st.data())
def test_a_target_is_drawn_with_all_that_implies_it_and_all_that_it_implies(graph, data):
    dag = graph.to_networkx(flat=False)
    if not len(dag):
        return
    target = data.draw(st.sampled_from(list(dag)))
    chosen = selection.around(dag, target, LARGE)
    assert set(chosen.nodes) == {target} | nx.ancestors(dag, target) | nx.descendants(dag, target)
    assert set(chosen.edges) == set(nx.transitive_reduction(dag.subgraph(chosen.nodes)).edges)
    assert len(chosen.edges) + chosen.implied + chosen.outside == dag.number_of_edges()
    bad = sum(contradictory for key, contradictory in dag.nodes(data="contradictory") if key != target)
    assert len(chosen.nodes) + chosen.unrelated + len(chosen.isolated) + bad == len(dag)


@settings(max_examples=40)
@given(graphs(max_nodes=6, max_edges=14), st.integers(1, 5), st.data())
def test_of_a_large_surrounding_the_nearest_are_kept(graph, max_nodes, data):
    dag = graph.to_networkx(flat=False)
    if not len(dag):
        return
    target = data.draw(st.sampled_from(list(dag)))
    chosen = selection.around(dag, target, max_nodes)
    steps = nx.single_source_shortest_path_length(dag, target)
    steps |= nx.single_source_shortest_path_length(dag.reverse(), target)
    assert target in chosen.nodes
    assert len(chosen.nodes) == min(max_nodes, len(steps))
    assert chosen.beyond == len(steps) - len(chosen.nodes)
    if chosen.beyond:
        assert max(steps[key] for key in chosen.nodes) <= min(steps[key] for key in steps if key not in chosen.nodes)


def test_labels_are_kept_first_then_the_classes_with_most_implications(planted):
    dag = planted.to_networkx(flat=False)
    everything = selection.overview(dag, LARGE)
    assert everything.beyond == 0
    few = selection.overview(dag, 4)
    labels = [key for key in few.nodes if dag.nodes[key]["label"]]
    assert labels
    assert few.beyond > 0
    kept = [dag.degree(key) for key in few.nodes if key not in labels]
    lost = [dag.degree(key) for key in everything.nodes if key not in few.nodes and not dag.nodes[key]["label"]]
    assert not kept or min(kept) >= max(lost)


@pytest.mark.parametrize(("literal", "negation"), [("label:3", "~label:3"), ("~a.b:7", "a.b:7")])
def test_negation_of_a_written_literal(literal, negation):
    assert selection.negated(literal) == negation
    assert selection.negated(negation) == literal
