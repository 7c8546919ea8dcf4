"""Layers by path or by expression: in the network's order, each once, and never silently none."""

import pytest
from torch import nn

from ndg.errors import LayerError
from ndg.units.resolve import find_layers


@pytest.fixture
def net():
    block = lambda: nn.ModuleDict({"fc1": nn.Linear(2, 2), "act": nn.ReLU()})  # noqa: E731
    return nn.ModuleDict({"blocks": nn.ModuleList([block() for _ in range(11)]), "head": nn.Linear(2, 2)})


def test_the_order_is_that_of_the_network_and_a_layer_is_taken_once(net):
    assert (
        find_layers(net, ["head", "blocks.3.fc1", r"blocks\.[13]\..*"])
        == [
            "blocks.1",
            "blocks.1.fc1",
            "blocks.1.act",
            "blocks.3.fc1",
            "blocks.3.act",
            "head",
        ][1:]
    )
    assert find_layers(net, [r"blocks\.\d+\.act"]) == [f"blocks.{i}.act" for i in range(11)]
    assert len(find_layers(net, [".*"])) == 1 + 11 * 3 + 1


def test_a_path_is_itself_and_no_expression(net):
    assert find_layers(net, ["blocks.1.fc1"]) == ["blocks.1.fc1"]
    assert find_layers(net, "head") == ["head"]
    assert find_layers(net, ["blocks.1"]) == ["blocks.1"]
    assert "blocks.10" not in find_layers(net, ["blocks.1"])


def test_what_matches_nothing_is_answered_with_the_nearest(net):
    with pytest.raises(LayerError, match=r"no layer 'heads' in ModuleDict; nearest: head"):
        find_layers(net, ["head", "heads"])
    with pytest.raises(LayerError, match=r"no layer 'fc1' in ModuleDict"):
        find_layers(net, ["fc1"])
    with pytest.raises(LayerError, match=r"no layer '' in ModuleDict"):
        find_layers(net, [""])
    with pytest.raises(LayerError, match=r"at least one layer is needed; got none"):
        find_layers(net, [])


def test_an_expression_that_is_none_says_why(net):
    with pytest.raises(
        LayerError, match=r"'head\(' is no path and no expression: missing \), unterminated.*nearest: head"
    ):
        find_layers(net, ["head("])
