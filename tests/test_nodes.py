"""The one owner of index arithmetic: every node goes to its name and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndg.errors import GraphError, ShapeError
from ndg.literal import Literal
from ndg.nodes import LayerUnits, NodeSpace

names = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,4}(\.[a-z0-9]{1,4}){0,2}", fullmatch=True), max_size=4, unique=True)
spaces = st.builds(
    lambda labels, layers, units, readings, concepts: NodeSpace(
        labels,
        tuple(LayerUnits(*x) for x in zip(layers, units, readings, strict=False) if x[0] not in ("label", "concept")),
        tuple(concepts),
    ),
    st.integers(0, 5),
    names,
    st.lists(st.integers(1, 7), min_size=4, max_size=4),
    st.lists(st.sampled_from(["unit", "max", "every"]), min_size=4, max_size=4),
    st.lists(st.text(min_size=1, max_size=6) | st.sampled_from(["~a", "a:1", "3", "label:0"]), max_size=4, unique=True),
)


@given(spaces)
def test_every_node_goes_to_its_name_and_back(space):
    for node in range(len(space)):
        assert space.index(space.name(node)) == node
        where = space.slice(space.layer(node))
        assert where.start + space.unit(node) == node < where.stop
        for value in (True, False):
            assert space.literal(space.text(Literal(node, value))) == Literal(node, value)
    assert len(set(space.nodes())) == len(space) == space.labels + space.neurons + len(space.concepts)
    in_groups = [(name, node) for name, where in space.groups for node in range(where.start, where.stop)]
    assert in_groups == [(space.layer(node), node) for node in range(len(space))]
    assert [space.is_concept(node) for node in range(len(space))] == [n == "concept" for n, _ in in_groups]
    assert space.without_concepts == NodeSpace(space.labels, space.layers)


@given(spaces)
def test_a_node_space_survives_its_document(space):
    assert NodeSpace.from_dict(space.to_dict()) == space


def test_a_document_of_the_first_version_is_still_read_and_still_written():
    document = {"labels": 2, "layers": [["a.b", 3], ["c", 1]]}
    space = NodeSpace.from_dict(document)
    assert space == NodeSpace(2, (LayerUnits("a.b", 3, "unit"), LayerUnits("c", 1)))
    assert space.to_dict() == document
    pooled = NodeSpace(2, (LayerUnits("a.b", 3, "max"),), ("has wings",))
    assert pooled.to_dict() == {"labels": 2, "layers": [["a.b", 3, "max"]], "concepts": ["has wings"]}


def test_concepts_come_last_and_are_called_by_name():
    space = NodeSpace(2, (LayerUnits("a.b", 1),), ("has wings", "beak: long"))
    assert list(space.nodes()) == ["label:0", "label:1", "a.b:0", "concept:has wings", "concept:beak: long"]
    assert space.slice("concept") == slice(3, 5)
    assert (space.neurons, space.layer(4), space.unit(4)) == (1, "concept", 1)
    assert space.literal("~concept:beak: long") == Literal(4, False)
    assert space.groups == (("label", slice(0, 2)), ("a.b", slice(2, 3)), ("concept", slice(3, 5)))
    assert space.without_concepts.slice("concept") == slice(3, 3)
    with pytest.raises(GraphError, match="no concept 'has wing' in this graph; nearest: has wings"):
        space.index("concept:has wing")


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
    with pytest.raises(ShapeError, match="distinct names"):
        NodeSpace(2, (LayerUnits("a", 3), LayerUnits("a", 3)))
    for taken in ("label", "concept"):
        with pytest.raises(ShapeError, match="other than 'label' and 'concept'"):
            NodeSpace(2, (LayerUnits(taken, 3),))
    for wrong in (("a", "a"), ("a", "")):
        with pytest.raises(ShapeError, match=r"concepts of a node space need distinct, non-empty names"):
            NodeSpace(2, (), wrong)
