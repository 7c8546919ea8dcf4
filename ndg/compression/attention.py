"""Attention of ordinary dense layers, in place of `nn.MultiheadAttention`, from which no heads can be taken."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ndg.errors import LayerError


class Attention(nn.Module):
    """What an `nn.MultiheadAttention` computes, with its queries, keys, values and output as dense layers.

    Heads may number fewer than the width of the output over the width of a head.
    """

    in_proj_bias = None  # encoder layers of torch look for it, and then take the plain path

    def __init__(self, source: nn.MultiheadAttention) -> None:
        super().__init__()
        if source.bias_k is not None or source.add_zero_attn:
            raise LayerError(
                "attention heads are removed from plain attention; got nn.MultiheadAttention with add_bias_kv or "
                "add_zero_attn; leave its layers out"
            )
        width = source.embed_dim
        self.head_width, self.dropout = source.head_dim, source.dropout
        self.batch_first, self._qkv_same_embed_dim = source.batch_first, source._qkv_same_embed_dim
        self.embed_dim, self.num_heads = width, source.num_heads
        if source._qkv_same_embed_dim:
            weights: Any = source.in_proj_weight.detach().chunk(3)
        else:
            weights = [source.q_proj_weight.detach(), source.k_proj_weight.detach(), source.v_proj_weight.detach()]
        biases = [None] * 3 if source.in_proj_bias is None else source.in_proj_bias.detach().chunk(3)
        self.query, self.key, self.value = (_dense(*pair) for pair in zip(weights, biases, strict=True))
        out = source.out_proj
        self.out = _dense(out.weight.detach(), None if out.bias is None else out.bias.detach())

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        if not self.batch_first:
            query, key, value = (part.transpose(0, 1) for part in (query, key, value))
        heads = [
            layer(part).unflatten(-1, (-1, self.head_width)).transpose(1, 2)
            for layer, part in ((self.query, query), (self.key, key), (self.value, value))
        ]
        mask = self._mask(heads[0], key_padding_mask, attn_mask)
        weights = None
        if need_weights:
            scores = heads[0] @ heads[1].transpose(-2, -1) * self.head_width**-0.5
            weights = (scores if mask is None else scores + mask).softmax(-1)
            mixed = weights @ heads[2]
            weights = weights.mean(dim=1) if average_attn_weights else weights
        else:
            mixed = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2], attn_mask=mask)
        output = self.out(mixed.transpose(1, 2).flatten(-2))
        return output if self.batch_first else output.transpose(0, 1), weights

    def _mask(self, heads: Tensor, padding: Tensor | None, mask: Tensor | None) -> Tensor | None:
        """Both masks as numbers to add to `[example, head, query, key]`."""
        parts = []
        if padding is not None:
            parts.append(_additive(padding, heads)[:, None, None])
        if mask is not None:
            added = _additive(mask, heads)
            parts.append(added if added.ndim == 2 else added.unflatten(0, (len(heads), -1))[:, :1])
        return sum(parts[1:], parts[0]) if parts else None


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill(mask, -torch.inf)


def _dense(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias is not None)
    layer.weight.data = weight.clone()
    if bias is not None:
        layer.bias.data = bias.clone()
    return layer
