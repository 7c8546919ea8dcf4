"""Gates of recurrent layers on whole sequences, from their inputs and states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ndg.activations.batches import Batch
from ndg.efficiency.parts import GATES
from ndg.units.layout import attention

Seen = tuple[Tensor, Tensor, int]
"""Values of a gate, sums of squares of its inputs and of the states before, and the number of rows."""


def gate_values(module: Any, inputs: Any, state: Any, batch: Batch) -> Iterator[Seen]:
    """Values of the gates of a recurrent layer or cell, in the order of its parts."""
    if isinstance(module, nn.RNNCellBase):
        before = inputs.new_zeros(len(inputs), module.hidden_size) if state is None else state
        yield from _of_rows(module, "", inputs, before[0] if isinstance(before, tuple) else before)
        return
    packed = isinstance(inputs, PackedSequence)
    if packed:
        sequence, lengths = pad_packed_sequence(inputs, batch_first=True)
        kept = torch.arange(sequence.shape[1]) < lengths[:, None]
    else:
        sequence = inputs if module.batch_first else inputs.transpose(0, 1)
        mask = attention(batch, sequence.shape[1])
        kept = torch.ones(sequence.shape[:2], dtype=torch.bool) if mask is None else mask.cpu()
        kept = kept & (torch.arange(len(kept)) < batch.count)[:, None]
        lengths = None
    kept = kept.to(sequence.device)
    for layer in range(module.num_layers):
        single = _single(module, layer, sequence.shape[2])
        if lengths is None:
            states, _ = single(sequence)
        else:
            run, _ = single(pack_padded_sequence(sequence, lengths, batch_first=True, enforce_sorted=False))
            states, _ = pad_packed_sequence(run, batch_first=True, total_length=sequence.shape[1])
        ways = ("", "_reverse") if module.bidirectional else ("",)
        for way, own in zip(ways, states.chunk(len(ways), dim=2), strict=True):
            before = functional.pad(own[:, :-1], (0, 0, 1, 0)) if not way else functional.pad(own[:, 1:], (0, 0, 0, 1))
            yield from _of_rows(module, f"_l{layer}{way}", sequence[kept], before[kept])
        sequence = states


def _single(module: Any, layer: int, inputs: int) -> nn.RNNBase:
    """One layer of a recurrent module, with all its directions."""
    nonlinearity = {"nonlinearity": module.nonlinearity} if isinstance(module, nn.RNN) else {}
    size = {"proj_size": module.proj_size} if isinstance(module, nn.LSTM) else {}
    single: nn.RNNBase = type(module)(
        inputs,
        module.hidden_size,
        1,
        bias=module.bias,
        batch_first=True,
        bidirectional=module.bidirectional,
        device=module.weight_ih_l0.device,
        dtype=module.weight_ih_l0.dtype,
        **nonlinearity,
        **size,
    ).eval()
    with torch.no_grad():
        for name, parameter in single.named_parameters():
            parameter.copy_(getattr(module, name.replace("_l0", f"_l{layer}")))
    return single


def _of_rows(module: Any, end: str, x: Float[Tensor, "row input"], h: Float[Tensor, "row state"]) -> Iterator[Seen]:
    """Gates of one layer and direction."""
    inner = functional.linear(x, getattr(module, f"weight_ih{end}"), getattr(module, f"bias_ih{end}", None))
    outer = functional.linear(h, getattr(module, f"weight_hh{end}"), getattr(module, f"bias_hh{end}", None))
    squares = torch.cat([x, h], dim=1).square().sum(dim=0, dtype=torch.float64)
    for values in _gates(module, inner, outer):
        yield values, squares, len(x)


def _gates(module: Any, inner: Tensor, outer: Tensor) -> list[Tensor]:
    if isinstance(module, (nn.LSTM, nn.LSTMCell)):
        i, f, g, o = (inner + outer).chunk(len(GATES["LSTM"]), dim=1)
        return [i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()]
    if isinstance(module, (nn.GRU, nn.GRUCell)):
        (ri, zi, ni), (rh, zh, nh) = (part.chunk(len(GATES["GRU"]), dim=1) for part in (inner, outer))
        r = (ri + rh).sigmoid()
        return [r, (zi + zh).sigmoid(), (ni + r * nh).tanh()]
    relu = getattr(module, "nonlinearity", "tanh") == "relu"
    return [(inner + outer).relu() if relu else (inner + outer).tanh()]
