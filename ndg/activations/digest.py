"""Digests of networks, by which bits and graphs know them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ndg.activations.batches import check_values
from ndg.bits.matrix import NETWORK_DIGITS


def weights_digest(model: nn.Module) -> str:
    """Sixteen hexadecimal digits of parameters and buffers.

    None while shapes are unknown.
    """
    check_values(model)
    state = hashlib.sha256(b"{}")
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            state.update(f"{name} {_plain(value)}".encode())
            continue
        if is_lazy(value):
            return ""
        state.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        state.update(_strided(value).cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()[:NETWORK_DIGITS]


def source_of(network: str, facts: dict[str, Any]) -> str:
    """A digest of a network's digest and how it is read."""
    return hashlib.sha256(json.dumps([network, facts], sort_keys=True, default=str).encode()).hexdigest()


def network_digest(model: nn.Module) -> str:
    """Sixteen hexadecimal digits of a network's weights and modules."""
    modules = re.sub(r" at 0x[0-9a-f]+", "", repr(model))
    return digest_of([type(model).__qualname__, modules, weights_digest(model)])


def digest_of(value: Any) -> str:
    """Sixteen hexadecimal digits of plain values, tensors and containers."""
    return hashlib.sha256(_spelled(value).encode()).hexdigest()[:16]


def _spelled(value: Any) -> str:
    """Text that depends on every number of a value."""
    if isinstance(value, Tensor):
        data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(data.data).hexdigest()}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{key!r}: {_spelled(entry)}' for key, entry in value.items()))}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_spelled, value))}]"
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__} {_spelled({field.name: getattr(value, field.name) for field in fields(value)})}"
    return repr(value)


def _strided(value: Tensor) -> Tensor:
    """The values of a sparse or quantised tensor, as a plain one."""
    value = value.detach()
    if value.layout is not torch.strided:
        return value.to_dense()
    return value.dequantize() if value.is_quantized else value


def _plain(value: Any) -> str:
    """Text of what a module keeps beside tensors, without addresses."""
    words = repr(value)
    return type(value).__qualname__ if " at 0x" in words else words
