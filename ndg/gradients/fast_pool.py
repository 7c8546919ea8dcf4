"""Fast max-pools, and sums of slopes times changes, on the CPU.

Values and gradients of max-pools over windows of 2 x 2 are torch's to the last bit, several times as quick.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

POOLS = (functional.max_pool2d, torch.max_pool2d)
MANY = 1 << 18
"""Number of values from which on kernels pay."""

View = Float[Tensor, "example unit position"]


def along(slopes: View, after: View, before: View) -> Float64[Tensor, "example unit"]:
    """Sums of slopes times changes over positions, in float64."""
    views = slopes, after, before
    if slopes.numel() < MANY or not all(map(_plain, views)):
        return (slopes * (after - before)).sum(dim=2, dtype=torch.float64)
    from ndg.gradients.kernels import flowed

    sums = slopes.new_empty(slopes.shape[:2], dtype=torch.float64)
    flowed(*(values.detach().numpy() for values in (*views, sums)))
    return sums


class QuickPools(TorchFunctionMode):
    """Context with fast `max_pool2d` of large float32 tensors, differentiable once."""

    def __torch_function__(self, function: Any, kinds: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        if function in POOLS and _fits(*arguments, **named):
            return _Pool.apply(arguments[0] if arguments else named["input"])
        return function(*arguments, **named)


def _fits(
    input: Tensor,  # by torch's name
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> bool:
    if return_indices or ceil_mode:
        return False
    windows = _pair(kernel_size) == _pair(stride or kernel_size) == (2, 2) and _pair(padding) == (0, 0)
    if not windows or _pair(dilation) != (1, 1) or input.ndim != 4:
        return False
    return _plain(input) and input.numel() >= MANY and not any(side % 2 for side in input.shape[2:])


def _plain(values: Tensor) -> bool:
    return values.device.type == "cpu" and values.dtype == torch.float32 and values.is_contiguous()


def _pair(size: Any) -> tuple[int, ...]:
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    return 2 * sides if len(sides) == 1 else sides


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        from ndg.gradients.kernels import largest

        many, channels, high, wide = values.shape
        pooled = values.new_empty(many, channels, high // 2, wide // 2)
        choices = torch.empty_like(pooled, dtype=torch.uint8)
        largest(*map(_planes, (values, pooled, choices)))
        ctx.save_for_backward(choices)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        from ndg.gradients.kernels import spread

        (choices,) = ctx.saved_tensors
        many, channels, high, wide = choices.shape
        inputs = gradient.new_empty(many, channels, 2 * high, 2 * wide)
        spread(*map(_planes, (gradient.contiguous(), choices, inputs)))
        return inputs


def _planes(values: Tensor) -> Any:
    return values.detach().flatten(0, 1).numpy()
