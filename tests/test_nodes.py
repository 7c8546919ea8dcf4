"""The one owner of index arithmetic: every node goes to its name and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndg.errors import GraphError, ShapeError
from ndg.literal import Literal
from ndg.nodes import LayerUnits, NodeSpace

names = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,4}(\.[a-z0-9]{1,4}){0,2}", fullmatch=True), max_size=4, unique=True)
spaces = st.builds(
    lambda labels, layers, units: NodeSpace(
        labels, tuple(LayerUnits(n, u) for n, u in zip(layers, units, strict=False) if n != "label")
    ),
    st.integers(0, 5),
    names,
    st.lists(st.integers(1, 7), min_size=4, max_size=4),
)


@given(spaces)
def test_every_node_goes_to_its_name_and_back(space):
    for node in range(len(space)):
        assert space.index(space.name(node)) == node
        where = space.slice(space.layer(node))
        assert where.start + space.unit(node) == node < where.stop
        for value in (True, False):
            assert space.literal(space.text(Literal(node, value))) == Literal(node, value)
    assert len(set(space.nodes())) == len(space) == space.labels + space.neurons


@given(spaces)
def test_a_node_space_survives_its_document(space):
    assert NodeSpace.from_dict(space.to_dict()) == space


def test_labels_come_first_and_layers_in_order():
    space = NodeSpace(2, (LayerUnits("a.b", 3), LayerUnits("c", 1)))
    assert list(space.nodes()) == ["label:0", "label:1", "a.b:0", "a.b:1", "a.b:2", "c:0"]
    assert space.slice("a.b") == slice(2, 5)
    assert space.is_label(1)
    assert not space.is_label(2)


def test_a_wrong_name_is_answered_with_the_nearest_or_the_range():
    space = NodeSpace(2, (LayerUnits("encoder", 3),))
    with pytest.raises(GraphError, match=r"no layer 'encodr' in this graph; nearest: encoder"):
        space.index("encodr:0")
    with pytest.raises(GraphError, match=r"layer 'encoder' has units 0 to 2; got unit 3"):
        space.index("encoder:3")
    with pytest.raises(GraphError, match=r"written layer:unit, as in 'label:0'; got 'encoder'"):
        space.index("encoder")
    with pytest.raises(GraphError, match=r"numbered 0 to 4; got 5"):
        space.name(5)


def test_two_layers_of_one_name_are_refused():
    with pytest.raises(ShapeError, match="different names"):
        NodeSpace(2, (LayerUnits("a", 3), LayerUnits("a", 3)))
    with pytest.raises(ShapeError, match="none of them 'label'"):
        NodeSpace(2, (LayerUnits("label", 3),))
