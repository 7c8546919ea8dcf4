"""What a graph says of its neurons: implications and labels, counted by hand and one literal at a time."""

import numpy as np
import pytest
import torch

from ndg.errors import ConfigError, LayerError
from ndg.graph.ndg import NDG
from ndg.importance.evaluation.spec import of_graph, of_network
from ndg.importance.graph_scores import ancestors, degree
from ndg.importance.score import score
from ndg.literal import Literal
from tests.references.graph_cases import implications, space

BITS = np.random.default_rng(0).random((40, 7)) < 0.5


def graph(edges: list[tuple[str, str]], labels: int = 2) -> NDG:
    """Two labels, then layer a with two units, then layer b with three."""
    nodes = space(7, labels)
    codes = [(nodes.literal(p).code, nodes.literal(q).code) for p, q in edges]
    return NDG(implications(BITS, nodes, codes))


CHAIN = graph([("label:0", "a:0"), ("a:0", "~b:1"), ("b:2", "~label:1"), ("a:0", "a:1")])


def test_degree_counts_each_implication_once_whatever_its_direction():
    found = degree(CHAIN)
    assert found["a"].tolist() == [3, 1]
    assert found["b"].tolist() == [0, 1, 1]
    assert found.whole == {"a": 3, "b": 2}
    assert (found.method, found.measure, found.examples) == ("degree", "implications", 40)
    both = graph([("a:0", "b:0"), ("b:0", "a:0")])
    assert degree(both)["a"].tolist() == [2, 0]


def test_an_implication_of_a_node_and_its_own_negation_counts_once():
    assert degree(graph([("a:0", "~a:0")]))["a"].tolist() == [1, 0]


def test_ancestors_are_labels_from_which_either_literal_follows():
    found = ancestors(CHAIN)
    # label:0 -> a:0 -> ~b:1 and a:1; label:1 -> ~b:2
    assert found["a"].tolist() == [1, 1]
    assert found["b"].tolist() == [0, 1, 1]
    assert found.whole == {"a": 1, "b": 2}


@pytest.mark.parametrize("seed", range(5))
def test_both_are_those_of_the_definitions_literal_by_literal(seed):
    rng = np.random.default_rng(seed)
    nodes = space(9, 3)
    codes = {(int(p), int(q)) for p, q in rng.integers(0, 18, (12, 2)) if p >> 1 != q >> 1 and max(p, q) > 5}
    found = NDG(implications(rng.random((30, 9)) < 0.5, nodes, codes))
    pairs = {
        frozenset([(p, q), (q ^ 1, p ^ 1)])
        for p, q in zip(found.implications.antecedents.tolist(), found.implications.consequents.tolist(), strict=True)
    }
    counts, labels = degree(found).by_node(nodes), ancestors(found).by_node(nodes)
    for node in range(3, 9):
        assert counts[node] == sum(any(node in (p >> 1, q >> 1) for p, q in pair) for pair in pairs)
        above = {one for value in (True, False) for one in found.ancestors(Literal(node, value))}
        assert labels[node] == len({one.node for one in above if one.node < 3})


def test_they_annotate_the_graph():
    scored = CHAIN.with_scores([degree(CHAIN), ancestors(CHAIN)])
    index = CHAIN.nodes.index
    assert scored.scores["degree"][index("a:0")] == 3
    assert scored.scores["ancestors"][index("b:2")] == 1


def test_a_method_of_a_graph_is_no_method_of_a_network():
    model = torch.nn.Linear(3, 2)
    for name in ("degree", "ancestors"):
        with pytest.raises(ConfigError, match=rf"call ndg\.importance\.{name}\(graph\)"):
            score(model, [torch.randn(4, 3)], [""], name)
    methods = ["degree", "gndi", "ancestors", "degree"]
    assert (of_network(methods), of_graph(methods), of_graph(["all"])) == (["gndi"], ["degree", "ancestors"], [])


def test_layers_can_be_chosen_and_unknown_ones_are_refused():
    assert degree(CHAIN, "b").layers == ("b",)
    assert ancestors(CHAIN, ["b"]).whole == {"b": 2}
    assert ancestors(graph([("a:0", "b:0")], labels=0)).whole == {"a": 0, "b": 0}
    with pytest.raises(LayerError, match=r"layer 'label' has no neurons in the graph; there is: a, b"):
        degree(CHAIN, "label")
