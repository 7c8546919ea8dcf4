"""Modules of torch as several plain layers, from each of which units can be taken."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ndg.compression.attention import Attention
from ndg.compression.refusals import check_weights


class SingleLayers(nn.Module):
    """What an LSTM or GRU of several layers computes, with one module for each layer.

    The layers may have different widths. The last states are one tensor while all widths are equal, else a tuple of
    those of each layer and direction, in the same order.
    """

    def __init__(self, source: nn.LSTM | nn.GRU) -> None:
        super().__init__()
        directions = 2 if source.bidirectional else 1
        self.dropout, self.directions = source.dropout, directions
        self.layers = nn.ModuleList()
        for number in range(source.num_layers):
            layer = type(source)(
                source.hidden_size * directions if number else source.input_size,
                source.hidden_size,
                bias=source.bias,
                batch_first=True,
                bidirectional=source.bidirectional,
                device=source.weight_ih_l0.device,
                dtype=source.weight_ih_l0.dtype,
            )
            for name, weight in layer.named_parameters():
                former = getattr(source, name.replace("_l0", f"_l{number}"))
                weight.data.copy_(former.detach())
                weight.requires_grad_(former.requires_grad)
            self.layers.append(layer)

    def forward(self, inputs: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        states: list[Any] = []
        for number, layer in enumerate(self.layers):
            if number and self.dropout:
                inputs = functional.dropout(inputs, self.dropout, self.training)
            inputs, last = layer(inputs, self._start(hx, number))
            states.append(last)
        if isinstance(states[0], tuple):
            return inputs, tuple(_joined(list(parts)) for parts in zip(*states, strict=True))
        return inputs, _joined(states)

    def _start(self, hx: Any, number: int) -> Any:
        """The first states of one layer."""
        own = slice(number * self.directions, (number + 1) * self.directions)
        if isinstance(hx, tuple):
            return tuple(part[own] for part in hx)
        return None if hx is None else hx[own]


def _joined(states: list[Tensor]) -> Any:
    if len({state.shape[-1] for state in states}) == 1:
        return torch.cat(states)
    return tuple(part for state in states for part in state.unbind())


def with_plain_layers(model: nn.Module) -> nn.Module:
    """Copy of a network with plain layers for torch's own.

    `Attention` and `SingleLayers` take their place; the copy is in evaluation mode.

    Raises LayerError for weights from which nothing can be taken.
    """
    check_weights(model)
    network = copy.deepcopy(model).eval()
    for path, module in list(network.named_modules()):
        plain: nn.Module | None = None
        if type(module) is nn.MultiheadAttention:
            plain = Attention(module).eval()
        elif isinstance(module, (nn.LSTM, nn.GRU)) and module.num_layers > 1:
            plain = SingleLayers(module).eval() if module.batch_first and not module.proj_size else None
        if plain is not None:
            parent, _, name = path.rpartition(".")
            if not path:
                return plain
            setattr(network.get_submodule(parent), name, plain)
    return network
