"""Layers by path or by expression: in the network's order, each once, and never silently none."""

import pytest
from torch import nn

from ndg.errors import LayerError
from ndg.units.resolve import expand_layers, find_layers, resolve_layer, visible


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


@pytest.fixture
def parts():
    attention = lambda: nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2, batch_first=True)})  # noqa: E731
    return nn.ModuleDict(
        {
            "blocks": nn.ModuleList([attention(), attention()]),
            "reading": nn.LSTM(4, 3, bidirectional=True),
            "head": nn.Linear(6, 2),
        }
    )


def test_heads_and_gates_are_found_by_name_and_by_expression(parts):
    assert find_layers(parts, [r".*\.heads"]) == ["blocks.0.attention.heads", "blocks.1.attention.heads"]
    assert find_layers(parts, ["head", r".*gates_l0.*", "blocks.1.attention.heads"]) == [
        "blocks.1.attention.heads",
        "reading.gates_l0",
        "reading.gates_l0_reverse",
        "head",
    ]
    assert expand_layers(parts, ["reading.gates_l0_reverse", r"blocks\..*heads"])[0] == "reading.gates_l0_reverse"
    with pytest.raises(LayerError, match=r"'reading' has gates_l0, gates_l0_reverse; got 'gates_l1'"):
        find_layers(parts, ["reading.gates_l1"])
    with pytest.raises(LayerError, match=r"in this network they are at: blocks\.0\.attention\.heads"):
        find_layers(parts, ["head.heads"])


def test_an_expression_that_matches_modules_means_these_alone(parts):
    assert not [name for name in find_layers(parts, [".*"]) if "heads" in name or "gates" in name]


def test_heads_and_gates_are_modules_while_they_are_visible(parts):
    layers = [resolve_layer(parts, name) for name in ("blocks.0.attention.heads", "reading.gates_l0_reverse")]
    assert [(layer.heads, layer.steps, layer.backwards) for layer in layers] == [(2, False, False), (None, True, True)]
    assert layers[1].levels == (0.5,) * 6 + (0.0,) * 3 + (0.5,) * 3
    before = dict(parts.named_modules())
    with visible(layers):
        assert set(dict(parts.named_modules())) - set(before) == {layer.path for layer in layers}
    assert dict(parts.named_modules()) == before
