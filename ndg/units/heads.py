"""Attention heads as units `X.heads`: the heads before projection.

No module outputs that. In `nn.MultiheadAttention` it is a step of a fused function, so its parts are composed here; in
others it is the input of a projection, or the output of X where the projection is elsewhere, as in BERT.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.backends import mha
from torch.nn import functional

from ndg.errors import LayerError
from ndg.units.virtual import running, standing, virtual_of

NAME = "heads"

NUMBERS = ("num_attention_heads", "num_heads", "n_heads", "n_head", "heads", "nhead")
"""Attributes that hold the number of heads."""

PROJECTIONS = ("o_proj", "out_proj", "out_lin", "c_proj", "proj", "wo", "o")
"""Parts that take the heads side by side to the output."""

INWARD = ({"query", "key", "value"}, {"q_proj", "k_proj", "v_proj"}, {"q_lin", "k_lin", "v_lin"})
"""Parts that make queries, keys and values; without a projection beside them their module gives the heads."""


def find_heads(model: nn.Module, owner: str) -> tuple[int, Callable[[], AbstractContextManager[None]]]:
    """The number of heads and their context; LayerError without any."""
    modules = dict(model.named_modules())
    module = modules[owner]
    number = _number(module)
    if isinstance(module, nn.MultiheadAttention):
        return module.num_heads, partial(_composed, module)
    if number and (projection := _projection(module)) is not None:
        return number, partial(_before, module, projection)
    if number and _takes_inward(module):
        return number, partial(_after, module)
    known = names(model)
    raise LayerError(
        f"heads are those of nn.MultiheadAttention, or of a module with a number of heads ({', '.join(NUMBERS)}) and a "
        f"projection of them ({', '.join(PROJECTIONS)}) or {', '.join(sorted(INWARD[0]))}; {owner!r} is "
        f"{type(module).__name__}; "
        + (
            f"in this network they are at: {', '.join(known)}"
            if known
            else "there are none in this network; score the layer after its attention"
        )
    )


def names(model: nn.Module) -> list[str]:
    """The names of all heads of a network."""
    return [f"{path}.{NAME}" if path else NAME for path, part in model.named_modules() if _holds(part)]


def number_of(module: nn.Module) -> int:
    """Number of heads of an attention module, 0 for other modules."""
    return (_number(module) or 0) if _holds(module) else 0


def _holds(module: nn.Module) -> bool:
    known = _projection(module) is not None or _takes_inward(module)
    return isinstance(module, nn.MultiheadAttention) or bool(_number(module) and known)


def _number(module: nn.Module) -> int | None:
    held = [vars(module).get(name) for name in NUMBERS]
    if _takes_inward(module):
        held.append(getattr(vars(module).get("config"), NUMBERS[0], None))
    return next((value for value in held if type(value) is int and value > 0), None)


def _takes_inward(module: nn.Module) -> bool:
    return any(set(module._modules) >= parts for parts in INWARD)


def _projection(module: nn.Module) -> nn.Module | None:
    return next((module._modules[name] for name in PROJECTIONS if module._modules.get(name) is not None), None)


@contextmanager
def _before(module: nn.Module, projection: nn.Module) -> Iterator[None]:
    """The heads are what the projection takes."""
    if virtual_of(module, NAME) is not None:
        yield
        return
    with (
        standing(module, NAME) as heads,
        projection.register_forward_pre_hook(lambda _, arguments: (heads(arguments[0]), *arguments[1:])),
    ):
        yield


@contextmanager
def _after(module: nn.Module) -> Iterator[None]:
    """The heads are what the module gives."""
    if virtual_of(module, NAME) is not None:
        yield
        return

    def through(_: nn.Module, arguments: Any, output: Any) -> Any:
        return (heads(output[0]), *output[1:]) if isinstance(output, tuple) else heads(output)

    with standing(module, NAME) as heads, module.register_forward_hook(through):
        yield


@contextmanager
def _composed(module: nn.MultiheadAttention) -> Iterator[None]:
    with standing(module, NAME), composed(module):
        yield


@contextmanager
def composed(module: nn.MultiheadAttention) -> Iterator[None]:
    """Run the module step by step meanwhile."""
    with unfused(), running(module, _forward(module)):
        yield


class _Depth(threading.local):
    """How many `unfused` contexts a thread is in."""

    here = 0


_depth, _lock, _threads_inside = _Depth(), threading.Lock(), 0
_fastpath_of_process = mha.get_fastpath_enabled


@contextmanager
def unfused() -> Iterator[None]:
    """Let `nn.TransformerEncoderLayer` call its parts, not a fused form.

    Torch has one switch for the process, and other threads may need the fused form meanwhile. So torch asks a function
    that answers each thread by itself.
    """
    _enter(1)
    try:
        yield
    finally:
        _enter(-1)


def _enter(step: int) -> None:
    global _threads_inside
    with _lock:
        _depth.here, _threads_inside = _depth.here + step, _threads_inside + step
        mha.get_fastpath_enabled = _fastpath_of_thread if _threads_inside else _fastpath_of_process


def _fastpath_of_thread() -> bool:
    return not _depth.here and _fastpath_of_process()


Tokens = Float[Tensor, "example token feature"]
Split = Float[Tensor, "example head token feature"]


def _forward(module: nn.MultiheadAttention) -> Callable[..., Any]:
    """The module's own forward pass, composed of its parts."""

    def forward(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        if query.is_nested or query.ndim != 3:
            raise LayerError(
                "heads are seen in attention over (example, token, feature) or (token, example, feature); got "
                f"{'a nested tensor' if query.is_nested else tuple(query.shape)}; give nn.MultiheadAttention a batch"
            )
        if not module.batch_first:
            query, key, value = (each.transpose(0, 1) for each in (query, key, value))
        q, k, v = _projected(module, query, key, value)
        if module.bias_k is not None and module.bias_v is not None:
            k = torch.cat([k, module.bias_k.expand(len(k), -1, -1)], dim=1)
            v = torch.cat([v, module.bias_v.expand(len(v), -1, -1)], dim=1)
        if module.add_zero_attn:
            k, v = (functional.pad(each, (0, 0, 0, 1)) for each in (k, v))
        q, k, v = (each.unflatten(2, (module.num_heads, -1)).transpose(1, 2) for each in (q, k, v))
        scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(2, 3)
        weights = _masked(scores, attn_mask, key_padding_mask).softmax(dim=-1)
        kept = functional.dropout(weights, module.dropout, module.training)
        wide = (kept @ v).transpose(1, 2).flatten(2)
        heads = virtual_of(module, NAME)
        mixed = module.out_proj(wide if heads is None else heads(wide))
        if not module.batch_first:
            mixed = mixed.transpose(0, 1)
        if not need_weights:
            return mixed, None
        return mixed, weights.mean(dim=1) if average_attn_weights else weights

    return forward


def _projected(module: nn.MultiheadAttention, query: Tokens, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    if module.in_proj_weight is not None:
        weights: tuple[Tensor, ...] = module.in_proj_weight.chunk(3)
    else:
        weights = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
    biases = (None, None, None) if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
    return tuple(
        functional.linear(inputs, weight, bias)
        for inputs, weight, bias in zip((query, key, value), weights, biases, strict=True)
    )


def _masked(scores: Split, attn_mask: Tensor | None, key_padding_mask: Tensor | None) -> Split:
    """Attention scores under masks: True leaves a key out, numbers are added."""
    examples, heads, _, keys = scores.shape
    if attn_mask is not None:
        wide = attn_mask.unflatten(0, (examples, heads)) if attn_mask.ndim == 3 else attn_mask
        scores = scores + _open(_additive(wide, scores), keys)
    if key_padding_mask is not None:
        scores = scores + _open(_additive(key_padding_mask, scores)[:, None, None, :], keys)
    return scores


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -math.inf)


def _open(mask: Tensor, keys: int) -> Tensor:
    return functional.pad(mask, (0, keys - mask.shape[-1]))
