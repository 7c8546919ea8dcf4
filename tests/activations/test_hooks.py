"""Hooks: any module path, removed in every case, and exact when they change nothing."""

import pytest
import torch
from torch import nn

from ndg.activations.hooks import Lineage, Overwrite, Trace, find_layer, per_unit
from ndg.errors import LayerError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleDict({"fc1": nn.Linear(3, 4), "fc2": nn.Linear(4, 4)})
        self.head = nn.Linear(4, 2)
        self.unused = nn.Linear(1, 1)

    def forward(self, x):
        hidden = torch.relu(self.encoder["fc1"](x))
        return self.head(self.encoder["fc2"](self.encoder["fc2"](hidden)))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


def test_a_module_with_two_names_is_named_by_the_first(net):
    net.twin = net.head
    with pytest.raises(LayerError, match="no layer 'twin' in Net; it is 'head' under another name; give that"):
        find_layer(net, "twin")
    with pytest.raises(LayerError, match="no layer 'twins' in Net; there is: encoder, "):
        find_layer(net, "twins")


def hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


def test_a_trace_holds_what_the_layer_gave(net):
    x = torch.randn(5, 3)
    expected = net.encoder["fc1"](x)
    with Trace(net, ["encoder.fc1", "head"]) as trace:
        logits = net(x)
        assert trace["head"] is logits
        assert trace["encoder.fc1"].equal(expected)
        net(x)
        with pytest.raises(LayerError, match="used 2 times"):
            trace["encoder.fc1"]
        trace.clear()
        net(x)
        assert trace["encoder.fc1"].equal(expected)
    assert hooks(net) == 0


def test_what_a_trace_holds_can_be_reduced_as_soon_as_the_layer_has_run(net):
    x, order = torch.randn(5, 3), []

    def reduce(path, module, output):
        order.append((path, module))
        return output.shape

    with Trace(net, ["head", "encoder.fc1", "encoder.fc2"], reduce) as trace:
        net(x)
        assert (trace["head"], trace["encoder.fc1"]) == ((5, 2), (5, 4))
        with pytest.raises(LayerError, match=r"'encoder.fc2' was used 2 times"):
            trace["encoder.fc2"]
    assert order == [("encoder.fc1", net.encoder["fc1"]), ("encoder.fc2", net.encoder["fc2"]), ("head", net.head)]


def test_lineage_follows_activations_and_ends_where_the_shape_or_the_tensor_does():
    model = nn.Sequential(nn.Conv1d(2, 3, 2), nn.Dropout(), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(12, 3))
    with Lineage(model, (nn.Conv1d,)) as lineage, Trace(model, ["0", "1", "2", "3", "4"]) as trace:
        model(torch.randn(2, 2, 5))
        assert [trace[path] in lineage for path in "01234"] == [True, True, True, False, False]
        assert trace["0"].clone() not in lineage
    assert trace["0"] not in lineage
    assert hooks(model) == 0


def test_hooks_are_gone_after_an_exception(net):
    with pytest.raises(RuntimeError), Trace(net, ["head"]), Overwrite(net, "head", lambda h: h):
        net(torch.randn(5, 7))
    assert hooks(net) == 0


def test_overwriting_with_the_same_leaves_the_output_bit_identical(net):
    x = torch.randn(5, 3)
    with Overwrite(net, "encoder.fc1", lambda h: torch.where(torch.zeros_like(h, dtype=torch.bool), -h, h)):
        assert net(x).equal(net(x))
        inside = net(x)
    assert inside.equal(net(x))


def test_the_rest_of_the_network_sees_what_was_written(net):
    x = torch.randn(5, 3)
    with Overwrite(net, "encoder.fc1", torch.zeros_like):
        written = net(x)
    expected = net.head(net.encoder["fc2"](net.encoder["fc2"](torch.zeros(5, 4))))
    assert written.equal(expected)
    with (
        pytest.raises(LayerError, match=r"keeps the shape of 'head': expected \(5, 2\), got \(5, 1\)"),
        Overwrite(net, "head", lambda h: h[:, :1]),
    ):
        net(x)


def test_a_layer_that_is_not_there_is_answered_with_the_nearest(net):
    with pytest.raises(LayerError, match=r"no layer 'encoder.fc3' in Net; nearest: encoder.fc2, encoder.fc1"):
        find_layer(net, "encoder.fc3")
    with pytest.raises(LayerError, match=r"no layer ''"):
        find_layer(net, "")


def test_a_layer_without_one_output_has_none(net):
    with Trace(net, ["unused", "encoder.fc2"]) as trace:
        net(torch.randn(5, 3))
        with pytest.raises(LayerError, match="'unused' was used 0 times"):
            trace["unused"]
        with pytest.raises(LayerError, match=r"'encoder.fc2' was used 2 times"):
            trace["encoder.fc2"]


def test_tuples_are_read_and_written_at_their_first_element():
    lstm = nn.Sequential(nn.LSTM(3, 4, batch_first=True))
    x = torch.randn(2, 5, 3)
    with Trace(lstm, ["0"]) as trace, Overwrite(lstm, "0", torch.zeros_like):
        output, _ = lstm(x)
    assert trace["0"].shape == (2, 5, 4)
    assert (output == 0).all()
    with pytest.raises(LayerError, match=r"shape \(example, unit\); '0' gives \(2, 5, 4\)"):
        per_unit(trace["0"], "0")
