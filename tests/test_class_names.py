"""Class names stay with the graph of a run: pictures, sentences, targets, reserved names of layers."""

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg.errors import ConfigError, GraphError, ShapeError
from ndg.graph.ndg import NDG
from ndg.nodes import LayerUnits, NodeSpace, class_number
from ndg.report.drawing import draw, home_of
from tests.references.graph_cases import drawn

NAMES = ("猫", "dog")
SPACED = (" cat\n", "~dog")


@pytest.fixture
def named():
    return drawn().with_class_names(NAMES)


def test_names_are_saved_with_the_graph_and_change_neither_digest_nor_equality(named, tmp_path):
    again = NDG.load(named.save(tmp_path / "graph.json"))
    assert again.class_names == NAMES
    assert (again, again.digest) == (drawn(), drawn().digest)
    assert again.filter(min_precision=0.5).class_names == NAMES
    assert drawn().class_names == ()
    with pytest.raises(ShapeError, match=r"one name per class: expected 2, got 1"):
        drawn().with_class_names(["cat"])


@pytest.mark.parametrize("stored", ["cat", ["cat"], None, 3, {"0": "cat"}])
def test_names_in_a_file_that_fit_no_class_are_no_names(stored):
    assert NDG(drawn().implications, {"class_names": stored}).class_names == ()


def test_rules_and_pictures_show_the_names_without_being_given_them(named):
    assert "if a:1 is on then class 0 (猫) is predicted" in named.rules()
    assert "class 1 (dog) is" in named.rules()
    lines = [line for node in draw(named).nodes for line in node.lines]
    assert "label:0 猫" in lines
    assert "¬label:0 猫" in [line for node in draw(named, target="~label:0").nodes for line in node.lines]
    assert "class_names" not in draw(named).provenance


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("猫", "label:0"),
        ("dog", "label:1"),
        ("~dog", "~label:1"),
        ("¬猫", "~label:0"),
        ("1", "label:1"),
        (1, "label:1"),
        ("label:1", "label:1"),
        (" ¬a:0 ", "~a:0"),
    ],
)
def test_a_target_is_a_name_a_number_or_a_literal(named, target, key):
    assert home_of(named, named.to_networkx(), target) == key


def test_names_are_taken_as_they_are_and_shown_in_one_line():
    graph = drawn().with_class_names(SPACED)
    dag = graph.to_networkx()
    assert [home_of(graph, dag, name) for name in (*SPACED, "~~dog")] == ["label:0", "label:1", "~label:1"]
    assert "class 0 ( cat ) is predicted" in graph.rules()
    assert drawn().with_class_names(["\udce9", "b"]).class_names[0] == "\\udce9"


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(GraphError, match=r"between 0 and 1, or a name; got dgo; nearest: dog"):
        draw(drawn().with_class_names(NAMES), target="dgo")
    with pytest.raises(GraphError, match=r"between 0 and 1; got 7"):
        class_number("7", (), 2)


def test_a_number_that_is_the_name_of_another_class_is_refused():
    names = ("1", "2", "9")
    with pytest.raises(GraphError, match=r"1 is the number of class '2' and the name of class number 0; write label:1"):
        class_number("1", names, 3)
    assert class_number("label:1", names, 3) == 1
    assert class_number("9", names, 3) == 2
    with pytest.raises(GraphError, match=r"classes \[0, 1\] are named 'cat'; give a number"):
        class_number("cat", ("cat", "cat"), 2)


@pytest.mark.parametrize("name", ["label:x", "concept:colour", "~fc", "¬fc", "label", "concept"])
def test_a_layer_with_a_reserved_name_is_refused_at_extraction(name):
    net = nn.Sequential()
    net.add_module("fc", nn.Linear(6, 8))
    net.add_module(name, nn.Sigmoid())
    net.add_module("out", nn.Linear(8, 2))
    x = torch.rand(40, 6)
    with pytest.raises(ShapeError, match=r"layer.*rename the module"):
        ndg.extract(net, [(x, (x[:, 0] > 0.5).long())], layers=[name])
    with pytest.raises(ShapeError, match=r"rename the module"):
        NodeSpace(2, (LayerUnits(name, 8),))


def test_names_that_no_file_can_hold_are_refused():
    with pytest.raises(ShapeError, match=r"text that UTF-8 can hold; got 'fc.udc80'; rename it"):
        NodeSpace(2, (LayerUnits("fc\udc80", 8),))
    with pytest.raises(ShapeError, match=r"text that UTF-8 can hold; got '.ud800'"):
        NodeSpace(2, (), ("\ud800",))


def test_a_literal_reads_both_signs_of_negation(named):
    assert named.literal("¬a:3") == named.literal("~a:3") == ~named.literal("a:3")
    assert named.closure("¬a:1") == named.closure("~a:1")
    bits = ndg.BitMatrix.from_bool(np.ones((3, 2), bool), NodeSpace(2))
    assert bits.nodes.text(bits.nodes.literal("¬label:1")) == "~label:1"


def test_class_names_in_one_text_are_refused_not_read_letter_by_letter(tmp_path):
    graph = drawn()
    text = "abcdefghij"[: graph.nodes.labels]
    for call in (
        lambda: graph.with_class_names(text),
        lambda: draw(graph, class_names=text),
        lambda: ndg.render(graph, tmp_path / "a.svg", class_names=text),
    ):
        with pytest.raises(
            ConfigError, match=rf"class_names must be a list; got the text '{text}'; write \['{text}'\]"
        ):
            call()
    assert not list(tmp_path.iterdir())
