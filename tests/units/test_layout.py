"""Paths of modules and of what no module gives, and views that go there and back."""

import pytest
import torch
from torch import nn

from ndg.errors import LayerError
from ndg.gradients.tape import Tape
from ndg.units.layout import Layout, heads_fit
from ndg.units.resolve import resolve_layer
from ndg.units.virtual import Virtual, standing, virtual_of


class Named(nn.Module):
    """A network with parts of its own called `heads` and `gates`, beside attention and a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.gates = nn.Linear(4, 4), nn.Linear(4, 4)
        self.attention, self.reading = nn.MultiheadAttention(4, 2, batch_first=True), nn.LSTM(4, 4, batch_first=True)
        self.out = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed, _ = self.attention(x, x, x)
        return self.out(self.heads(self.gates(self.reading(mixed)[0][:, -1])))


def test_a_module_of_that_name_comes_first():
    model = Named()
    for path in ("heads", "gates", "attention", "reading.weight_hh_l0"[:7]):
        place = resolve_layer(model, path)
        assert (place.heads, place.steps) == (None, False)
    assert resolve_layer(model, "attention.heads").heads == 2
    assert resolve_layer(model, "reading.gates").steps


def test_what_does_not_exist_is_named():
    for path in ("atention.heads", "attention.head", "", "reading.gate"):
        with pytest.raises(LayerError, match=rf"no layer '{path}' in Named"):
            resolve_layer(Named(), path)


def test_places_stand_in_each_other_and_leave_nothing():
    model, x = Named().eval(), torch.randn(2, 5, 4)
    paths = ["attention.heads", "reading.gates", "heads"]
    before = dict(model.named_modules())
    with resolve_layer(model, "attention.heads").around(), resolve_layer(model, "reading.gates").around():
        assert isinstance(model.get_submodule("attention.heads"), Virtual)
        assert resolve_layer(model, "attention.heads").heads == 2
        with Tape(model, paths) as tape:
            tape.run(x)
            assert [tape[path].shape[1] for path in paths] == [2, 16, 4]
        assert isinstance(model.get_submodule("attention.heads"), Virtual)
    assert dict(model.named_modules()) == before
    assert not any("forward" in vars(module) for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_after_an_error_nothing_is_left():
    model = Named()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), Tape(model, ["attention.heads"]) as tape:
        tape.run(torch.randn(2, 5, 7))
    assert list(model.attention._modules) == ["out_proj"]
    assert "forward" not in vars(model.attention)
    assert torch.backends.mha.get_fastpath_enabled()


def test_weights_and_names_of_a_network_are_those_it_had():
    model = Named()
    keys = set(model.state_dict())
    with resolve_layer(model, "reading.gates").around():
        assert set(model.state_dict()) == keys
    owner = nn.Module()
    owner.heads = 4
    with standing(owner, "heads") as virtual:
        assert owner.heads == 4
        assert virtual_of(owner, "heads") is virtual
        assert dict(owner.named_modules())["heads"] is virtual
    assert virtual_of(owner, "heads") is None


SHAPES = {"units": (3, 4), "channels": (3, 4, 5, 2), "tokens": (3, 5, 4), "heads": (3, 5, 8)}


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("kind", SHAPES)
def test_a_view_goes_back_to_the_output_it_came_from(kind, each):
    output = torch.randn(SHAPES[kind])
    layout = Layout("layer", kind, 4 if kind == "heads" else 0, each)
    view = layout.view(output)
    assert view.shape == ((3, 4, output[0].numel() // 4) if not each else (3, output[0].numel(), 1))
    assert torch.equal(layout.broadcast(view, output).expand_as(output), output)
    if not each:
        one = view[:, :, :1]
        assert torch.equal(
            layout.view(layout.broadcast(one, output).expand_as(output).contiguous()), one.expand_as(view)
        )


class Normed(nn.Module):
    """A convolution or a dense layer, then a norm over all that is not the example, then an activation."""

    def __init__(self, first: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.first, self.norm, self.act = first, norm, nn.GELU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.first(x))).flatten(2).sum(dim=2)


@pytest.mark.parametrize(
    ("first", "norm", "shape", "views"),
    [
        (nn.Conv1d(2, 4, 3, padding=1), nn.LayerNorm([4, 6]), (3, 2, 6), (3, 4, 6)),
        (nn.Conv1d(2, 4, 3, padding=1), nn.RMSNorm([4, 6]), (3, 2, 6), (3, 4, 6)),
        (nn.Conv2d(2, 4, 1), nn.LayerNorm([4, 6, 5]), (3, 2, 6, 5), (3, 4, 30)),
        (nn.Linear(2, 4), nn.LayerNorm([6, 4]), (3, 6, 2), (3, 4, 6)),
        (nn.Linear(2, 4), nn.LayerNorm(4), (3, 6, 2), (3, 4, 6)),
    ],
)
def test_a_norm_over_several_axes_has_the_units_of_what_is_before_it(first, norm, shape, views):
    model, x = Normed(first, norm).eval(), torch.randn(shape)
    paths = ["first", "norm", "act"]
    given = norm(first(x)).detach()
    with Tape(model, paths) as tape:
        tape.run(x)
        assert [tuple(tape[path].shape) for path in paths] == [views] * 3
        expected = given.transpose(1, 2) if isinstance(first, nn.Linear) else given.flatten(2)
        assert torch.equal(tape["norm"], expected)


def test_a_norm_over_positions_and_units_of_four_axes_is_refused_where_units_are_last():
    model = Normed(nn.Linear(2, 4), nn.LayerNorm([6, 5, 4])).eval()
    with (
        pytest.raises(LayerError, match=r"'norm' gives \(3, 6, 5, 4\), whose units are the last axis"),
        Tape(model, ["norm"]) as tape,
    ):
        tape.run(torch.randn(3, 6, 5, 2))


def test_heads_are_equal_parts():
    heads_fit("layer", torch.zeros(2, 5, 8), 4)
    with pytest.raises(LayerError, match=r"'layer' gives \(2, 5, 9\) and has 4 heads"):
        heads_fit("layer", torch.zeros(2, 5, 9), 4)
