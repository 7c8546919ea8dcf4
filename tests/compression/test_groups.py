"""Groups of coupled layers, found from what a network computes; what cannot be removed, by name."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg.compression.curves import coupling
from ndg.errors import LayerError
from tests.compression.networks import SelfAttention, network


def found(name):
    model, inputs = network(name)
    return coupling(model, [inputs])


def parts(group):
    return [[(part.path, part.width) for part in kind] for kind in (group.makers, group.scales, group.readers)]


def test_dense_layers_and_convolutions_of_the_mnist_network():
    groups = found("cnn").groups
    assert list(groups) == [
        "encoder.conv1",
        "encoder.conv2",
        "encoder.fc1",
        "encoder.pre",
        "decoder.fc1",
        "decoder.fc2",
    ]
    assert parts(groups["encoder.conv1"]) == [[("encoder.conv1", 1)], [], [("encoder.conv2", 1)]]
    assert parts(groups["encoder.conv2"]) == [[("encoder.conv2", 1)], [], [("encoder.fc1", 16)]]
    assert parts(groups["decoder.fc2"]) == [[("decoder.fc2", 1)], [], [("decoder.out", 1)]]
    assert [group.kind for group in groups.values()] == ["channel"] * 2 + ["unit"] * 4


def test_inner_channels_of_residual_blocks():
    coupled = found("resnet")
    assert list(coupled.groups) == ["stages.0.0.conv1", "stages.1.0.conv1"]
    assert parts(coupled.groups["stages.1.0.conv1"]) == [
        [("stages.1.0.conv1", 1)], [("stages.1.0.norm1", 1)], [("stages.1.0.conv2", 1)]
    ]  # fmt: skip
    assert "residual width" in coupled.refused["stem.conv"]
    assert "residual width" in coupled.refused["stages.1.0.shortcut.conv"]


def test_heads_and_dense_parts_of_a_transformer():
    coupled = found("vit")
    heads = coupled.groups["vit.layers.1.attention"]
    assert (heads.kind, heads.units) == ("head", 4)
    assert {part.path.rpartition(".")[2] for part in heads.makers} == {"q_proj", "k_proj", "v_proj"}
    assert parts(heads)[2] == [("vit.layers.1.attention.o_proj", 8)]
    assert heads.readers[0].index[1].tolist() == list(range(8, 16))
    assert coupled.groups["vit.layers.0.mlp.fc1"].units == 24
    refused = coupled.refused["vit.layers.0.mlp.fc2"]
    assert refused.startswith("residual width: layer_norm")


def test_attention_of_torch_with_and_without_weights():
    for need_weights in (False, True):
        coupled = coupling(SelfAttention(need_weights=need_weights).eval(), [torch.rand(4, 7, 16)])
        assert parts(coupled.groups["attention"])[2] == [("attention.out", 4)]


def test_attention_of_one_head_is_refused():
    coupled = coupling(SelfAttention(heads=1).eval(), [torch.rand(4, 7, 16)])
    assert "attention without a number of heads" in coupled.refused["attention"]


def test_a_gate_couples_two_layers():
    assert parts(found("gated").groups["gate+up"]) == [[("gate", 1), ("up", 1)], [], [("down", 1)]]


def test_a_convolution_per_channel_is_a_scale():
    assert parts(found("depthwise").groups["first"])[1] == [("middle", 1), ("norm", 1)]


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_both_directions_of_recurrent_layers(name):
    groups = found(name).groups
    assert parts(groups["back.0"]) == [[("back.0", 1)], [], [("ahead.1", 1), ("back.1", 1)]]
    assert groups["back.0"].readers[0].index[:, 0].tolist() == list(range(12, 24))
    assert groups["ahead.1"].kind == "hidden unit"


class Two(nn.Module):
    """Two dense layers, and what is between."""

    def __init__(self, between, first=None, second=None):
        super().__init__()
        self.first = nn.Linear(6, 8) if first is None else first
        self.second = nn.Linear(8, 8) if second is None else second
        self.out, self.between = nn.Linear(8, 3), between

    def forward(self, inputs):
        return self.out(functional.relu(self.second(self.between(self.first(inputs)))))


class Added(nn.Module):
    """A shortcut around a dense layer."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(8, 8)

    def forward(self, inputs):
        return inputs + functional.relu(self.dense(inputs))


SHARED = nn.Linear(8, 8)


@pytest.mark.parametrize(
    ("model", "layer", "reason"),
    [
        (Two(lambda x: x.cumsum(1)), "first", "cumsum does not keep units apart"),
        (Two(nn.LayerNorm(8)), "first", "residual width: layer_norm at 'between'"),
        (Two(nn.Softmax(1)), "first", "does not keep units apart"),
        (Two(nn.GroupNorm(2, 8)), "first", "group_norm at 'between' does not keep units apart"),
        (Two(lambda x: x + torch.arange(8.0)), "first", "residual width: add"),
        (Two(Added()), "between.dense", "joins the units of two layers"),
        (Two(SHARED, second=SHARED), "between", "shared with another layer"),
        (Two(nn.ReLU(), second=nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))), "first", "computed from other"),
    ],
)
def test_what_cannot_be_removed_is_refused_by_name(model, layer, reason):
    coupled = coupling(model.eval(), [torch.rand(4, 6)])
    assert reason in coupled.refused[layer]
    assert layer not in coupled.groups
    with pytest.raises(LayerError, match="has units that can be removed exactly"):
        coupled.select([layer])


def test_the_layer_of_outputs_and_unknown_layers_are_refused():
    coupled = found("mlp")
    with pytest.raises(LayerError, match=r"its units are outputs of the network; choose among encoder.fc1"):
        coupled.select(["decoder.out"])
    with pytest.raises(LayerError, match=r"'encoder.fc9' has none: no such layer; nearest: encoder.fc2, encoder.fc1"):
        coupled.select(["encoder.fc9"])


def test_quantised_weights_are_refused():
    class Packed(nn.Linear):
        def __init__(self) -> None:
            super().__init__(6, 8)
            self._packed_params = object()

    with pytest.raises(LayerError, match="'first' is quantised; compress the network first"):
        coupling(Two(nn.ReLU(), first=Packed()).eval(), [torch.rand(4, 6)])


def test_a_network_that_cannot_be_traced_is_refused():
    with pytest.raises(LayerError, match=r"can be exported by torch.export"):
        coupling(Two(lambda x: x if x.sum().item() > 0 else -x).eval(), [torch.rand(4, 6)])
