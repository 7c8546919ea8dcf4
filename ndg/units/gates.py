"""Gates of recurrent layers as units `X.gates`, step by step.

    nn.LSTM   i, f, g, o      input gate, forget gate, candidate, output gate
    nn.GRU    r, z, n         reset gate, update gate, candidate
    nn.RNN    h               the state

`hidden_size` units each, one gate after the other. Of several layers or directions each has a name of its own, as its
weights have: `X.gates_l0`, `X.gates_l1_reverse`. Recurrent layers are fused functions, so while their gates are seen
they run step by step: the same numbers to rounding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.overrides import handle_torch_function, has_torch_function

from ndg.errors import LayerError
from ndg.units.virtual import running, standing, virtual_of

NAME = re.compile(r"gates(_l\d+(_reverse)?)?")

LAYERS = (nn.LSTM, nn.GRU, nn.RNN)
CELLS = (nn.LSTMCell, nn.GRUCell, nn.RNNCell)

Rows = Float[Tensor, "example _"]
State = tuple[Tensor, ...]
See = Callable[[Tensor], Tensor]


def find_gates(model: nn.Module, owner: str, name: str) -> Callable[[], AbstractContextManager[None]]:
    """The context in which gates are visible; LayerError without any."""
    modules = dict(model.named_modules())
    module = modules[owner]
    if not isinstance(module, (*LAYERS, *CELLS)):
        known = [path for path, part in modules.items() if isinstance(part, (*LAYERS, *CELLS))]
        raise LayerError(
            f"gates are those of nn.LSTM, nn.GRU, nn.RNN and of their cells; {owner!r} is {type(module).__name__}; "
            + (f"in this network they are in: {', '.join(known)}" if known else "there are none in this network")
        )
    known = _names(module)
    if name not in known and not (name == "gates_l0" and len(known) == 1 and isinstance(module, LAYERS)):
        raise LayerError(
            f"gates are named by layer and direction; {owner!r} has {', '.join(known)}; got {name!r}; name one of them"
        )
    return partial(_visible, module, name)


def names(model: nn.Module) -> list[str]:
    """The names of all gates of a network."""
    modules = {path: part for path, part in model.named_modules() if isinstance(part, (*LAYERS, *CELLS))}
    return [f"{path}.{name}" if path else name for path, part in modules.items() for name in _names(part)]


def middles(module: Any) -> tuple[float, ...]:
    """Middle of each gate's range, 0.5 for sigmoids."""
    step = _step(module)
    levels = (0.5, 0.5, 0.0, 0.5) if step is _lstm else (0.5, 0.5, 0.0) if step is _gru else (0.0,)
    return tuple(level for level in levels for _ in range(module.hidden_size))


@contextmanager
def _visible(module: nn.Module, name: str) -> Iterator[None]:
    with standing(module, name), unrolled(module):
        yield


@contextmanager
def unrolled(module: nn.Module) -> Iterator[None]:
    """Run a recurrent layer or cell step by step meanwhile."""
    assert isinstance(module, (nn.RNNBase, nn.RNNCellBase))
    with running(module, _layer(module) if isinstance(module, nn.RNNBase) else _cell(module)):
        yield


def gated(gate: Tensor, signal: Tensor) -> Tensor:
    """Gate times signal, which overrides of torch can tell apart."""
    if has_torch_function((gate, signal)):
        product: Tensor = handle_torch_function(gated, (gate, signal), gate, signal)
        return product
    return gate * signal


class Ended(torch.autograd.Function):
    """The identity; no gradient reaches the columns from `first` on."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, first: int) -> Tensor:
        ctx.first = first
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        onward = gradients[0][:, : ctx.first]
        return functional.pad(onward, (0, gradients[0].shape[1] - ctx.first)), None


class Followed(torch.autograd.Function):
    """Candidate recomputed from changed gates, unless changed itself."""

    @staticmethod
    def forward(ctx: Any, anew: Tensor, seen: Tensor, before: Tensor) -> Tensor:
        same = seen == before
        ctx.save_for_backward(same)
        return torch.where(same, anew, seen)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (same,) = ctx.saved_tensors
        return gradients[0] * same, gradients[0], None


def _names(module: nn.Module) -> list[str]:
    if not isinstance(module, nn.RNNBase) or module.num_layers * (1 + module.bidirectional) == 1:
        return ["gates"]
    ends = ("", "_reverse") if module.bidirectional else ("",)
    return [f"gates_l{layer}{end}" for layer in range(module.num_layers) for end in ends]


class _Weights:
    """Weights of one layer and direction, input beside state."""

    def __init__(self, module: nn.Module, end: str) -> None:
        def of(name: str) -> Any:
            return getattr(module, name + end, None)

        self.inward, self.onward, self.projection = of("weight_ih"), of("weight_hh"), of("weight_hr")
        self.bias_inward, self.bias_onward = of("bias_ih"), of("bias_hh")
        self.joint = torch.cat([self.inward, self.onward], dim=1)
        self.bias = None if self.bias_inward is None else self.bias_inward + self.bias_onward
        self.relu = getattr(module, "nonlinearity", "") == "relu" or getattr(module, "mode", "") == "RNN_RELU"


def _lstm(weights: _Weights, x: Rows, state: State, see: See) -> State:
    h, c = state
    i, f, g, o = functional.linear(torch.cat([x, h], dim=1), weights.joint, weights.bias).chunk(4, dim=1)
    i, f, g, o = see(torch.cat([i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()], dim=1)).chunk(4, dim=1)
    c = gated(f, c) + gated(i, g)
    h = gated(o, c.tanh())
    return (h if weights.projection is None else functional.linear(h, weights.projection)), c


def _gru(weights: _Weights, x: Rows, state: State, see: See) -> State:
    (h,), size = state, state[0].shape[1]
    bias, inner, outer = (
        (None, None, None)
        if weights.bias is None
        else (weights.bias[: 2 * size], weights.bias_inward[2 * size :], weights.bias_onward[2 * size :])
    )
    r, z = functional.linear(torch.cat([x, h], dim=1), weights.joint[: 2 * size], bias).sigmoid().chunk(2, dim=1)
    new = functional.linear(x, weights.inward[2 * size :], inner)
    old = functional.linear(h, weights.onward[2 * size :], outer)
    before = torch.tanh(new + gated(r, old))
    r, z, seen = see(Ended.apply(torch.cat([r, z, before], dim=1), 2 * size)).chunk(3, dim=1)
    n = Followed.apply(torch.tanh(new + gated(r, old)), seen, before.detach())
    return (gated(1 - z, n) + gated(z, h),)


def _rnn(weights: _Weights, x: Rows, state: State, see: See) -> State:
    sums = functional.linear(torch.cat([x, state[0]], dim=1), weights.joint, weights.bias)
    return (see(sums.relu() if weights.relu else sums.tanh()),)


def _step(module: nn.Module) -> Callable[[_Weights, Tensor, State, See], State]:
    if isinstance(module, (nn.LSTM, nn.LSTMCell)):
        return _lstm
    return _gru if isinstance(module, (nn.GRU, nn.GRUCell)) else _rnn


def _layer(module: nn.RNNBase) -> Callable[..., Any]:
    """The forward pass of a recurrent layer, step by step."""
    long = isinstance(module, nn.LSTM)

    def forward(input: Tensor | PackedSequence, hx: Any = None) -> tuple[Any, Any]:
        there = lengths = None
        if isinstance(input, PackedSequence):
            sequence, lengths = pad_packed_sequence(input)
            there = (torch.arange(len(sequence))[:, None] < lengths).to(sequence.device)
        elif input.ndim != 3:
            raise LayerError(f"gates are seen in batches of sequences; got a sequence of shape {tuple(input.shape)}")
        else:
            sequence = input.transpose(0, 1) if module.batch_first else input
        starts = _starts(module, sequence, hx)
        ends: list[State] = []
        for layer in range(module.num_layers):
            both = []
            for end in ("", "_reverse") if module.bidirectional else ("",):
                outputs, last = _run(module, f"_l{layer}{end}", sequence, starts[len(ends)], there)
                both.append(outputs)
                ends.append(last)
            sequence = torch.cat(both, dim=2)
            if layer < module.num_layers - 1:
                sequence = functional.dropout(sequence, module.dropout, module.training)
        last_states = tuple(torch.stack([state[part] for state in ends]) for part in range(2 if long else 1))
        if isinstance(input, PackedSequence):
            assert lengths is not None
            output: Any = _packed(sequence, lengths, input)
        else:
            output = sequence.transpose(0, 1) if module.batch_first else sequence
        return output, last_states if long else last_states[0]

    return forward


def _run(
    module: nn.RNNBase,
    end: str,
    sequence: Float[Tensor, "token example _"],
    state: State,
    there: Bool[Tensor, "token example"] | None,
) -> tuple[Float[Tensor, "token example _"], State]:
    """Outputs and last state of one layer and direction."""
    alone = ["gates"] if _names(module) == ["gates"] else []
    weights, step, gates = _Weights(module, end), _step(module), virtual_of(module, f"gates{end}", *alone)
    outputs: dict[int, Tensor] = {}
    order = range(len(sequence))
    for token in reversed(order) if end.endswith("_reverse") else order:
        here = None if there is None else there[token][:, None]
        after = step(weights, sequence[token], state, _seeing(gates, here))
        if here is not None:
            after = tuple(torch.where(here, new, old) for new, old in zip(after, state, strict=True))
        state = after
        outputs[token] = state[0] if here is None else state[0].masked_fill(~here, 0)
    return torch.stack([outputs[token] for token in order]), state


def _seeing(gates: nn.Module | None, here: Bool[Tensor, "example 1"] | None) -> See:
    def see(values: Tensor) -> Tensor:
        if gates is None:
            return values
        seen: Tensor = gates(values if here is None else values.masked_fill(~here, 0))
        return seen

    return see


def _starts(module: nn.RNNBase, sequence: Tensor, hx: Any) -> list[State]:
    """The first state of each layer and direction."""
    count, examples = module.num_layers * (1 + module.bidirectional), sequence.shape[1]
    if hx is not None:
        return list(zip(*hx, strict=True)) if isinstance(hx, tuple) else [(each,) for each in hx]
    first = sequence.new_zeros(examples, module.proj_size or module.hidden_size)
    if not isinstance(module, nn.LSTM):
        return [(first,)] * count
    return [(first, sequence.new_zeros(examples, module.hidden_size))] * count


def _packed(sequence: Tensor, lengths: Tensor, like: PackedSequence) -> PackedSequence:
    if like.sorted_indices is not None:
        sequence = sequence.index_select(1, like.sorted_indices)
        lengths = lengths[like.sorted_indices.cpu()]
    data = pack_padded_sequence(sequence, lengths).data
    return PackedSequence(data, like.batch_sizes, like.sorted_indices, like.unsorted_indices)


def _cell(module: nn.RNNCellBase) -> Callable[..., Any]:
    """The forward pass of a recurrent cell."""
    long = isinstance(module, nn.LSTMCell)

    def forward(input: Tensor, hx: Any = None) -> Any:
        if input.ndim != 2:
            raise LayerError(f"gates are seen in batches of examples; got one of shape {tuple(input.shape)}")
        if hx is None:
            hx = input.new_zeros(len(input), module.hidden_size)
            hx = (hx, hx) if long else hx
        see = _seeing(virtual_of(module, "gates"), None)
        state = _step(module)(_Weights(module, ""), input, hx if long else (hx,), see)
        return state if long else state[0]

    return forward
