"""Two matrices side by side: each side keeps the graph that it has alone."""

import numpy as np
import pytest

from ndg import discovery
from ndg.comparison.models import join, sides
from ndg.errors import ConfigError, ShapeError
from tests.comparison.cases import bits


def named(graph, keep, rename):
    """Implications with both ends in `keep`, by their texts after `rename`."""
    edges = graph.implications
    nodes = [rename(name) for name in graph.nodes.nodes()]
    inside = [keep(name) for name in graph.nodes.nodes()]
    return {
        ((nodes[p >> 1], p & 1), (nodes[q >> 1], q & 1), int(n))
        for p, q, n in zip(edges.antecedents.tolist(), edges.consequents.tolist(), edges.exceptions, strict=True)
        if inside[p >> 1] and inside[q >> 1]
    }


def test_nodes_are_called_by_their_side_and_rows_stay_what_they_are():
    a, b = bits(seed=0, concepts=("odd",)), bits(labels=3, units=5, seed=1, concepts=("odd",))
    both = join(a, b, ("one", "two"))
    assert [layer.name for layer in both.nodes.layers] == ["one/u", "one/v", "two/u", "two/v"]
    assert both.nodes.concepts == ("one/odd", "two/label:0", "two/label:1", "two/label:2", "two/odd")
    assert (both.to_bool("label") == a.to_bool("label")).all()
    for layer in "uv":
        assert (both.to_bool(f"one/{layer}") == a.to_bool(layer)).all()
        assert (both.to_bool(f"two/{layer}") == b.to_bool(layer)).all()
    assert (both.to_bool("concept")[:, 1:4] == b.to_bool("label")).all()
    of = sides(both.nodes, ("one", "two"))
    assert of.tolist() == [0] * 2 + [0] * 8 + [1] * 10 + [0] + [1] * 4


@pytest.mark.parametrize("alpha", [1.5, 5])
def test_the_implications_within_a_side_are_those_of_its_bits_alone(alpha):
    a, b = bits(seed=0), bits(labels=3, seed=1)
    graph = discovery.mine(join(a, b), alpha=alpha)
    side = dict(zip(graph.nodes.nodes(), sides(graph.nodes), strict=True))
    for number, (name, own) in enumerate((("a", a), ("b", b))):
        alone = named(discovery.mine(own, alpha=alpha), lambda _: True, lambda text: text)
        within = named(
            graph,
            lambda text, number=number: side[text] == number,
            lambda text, name=name: text.removeprefix("concept:").removeprefix(f"{name}/"),
        )
        assert within == alone
        assert alone


def test_bits_joined_with_themselves_are_equivalent_unit_by_unit():
    own = bits()
    graph = discovery.mine(join(own, own), alpha=5)
    for unit in range(4):
        assert f"b/u:{unit}" in {graph.nodes.name(x.node) for x in graph.descendants(f"a/u:{unit}") if x.value}
        assert f"a/u:{unit}" in {graph.nodes.name(x.node) for x in graph.descendants(f"b/u:{unit}") if x.value}
    assert "concept:b/label:1" in {graph.nodes.text(x) for x in graph.descendants("label:1")}


def test_thresholds_follow_their_units():
    a, b = bits(), bits(units=3)
    both = join(a, b)
    assert both.thresholds.shape == (14,)
    assert np.isnan(both.thresholds).all()
    assert both.binarizer == "given"


def test_sides_of_different_length_or_of_one_name_are_refused():
    with pytest.raises(ShapeError, match=r"both sides need as many; got 200 and 100; extract both"):
        join(bits(200), bits(100))
    for names in (("a", "a"), ("", "b"), ("a/b", "c"), ("~a", "b")):
        with pytest.raises(ConfigError, match="two sides need different names"):
            join(bits(), bits(), names)
    with pytest.raises(ShapeError, match="begin with their side"):
        sides(bits().nodes)
