"""Rules of relevance: forward functions whose gradient times value is the relevance.

    linear maps       the stabilised share z_i / (z + epsilon sign z) of each input (Bach et al. 2015), or the gamma
                      rule (Montavon et al. 2019; for values of both signs Andeol et al. 2021)
    activations       relevance passes an elementwise function unchanged
    attention, norms  attention weights, norms and all divisors are constants (Ali et al. 2022)
    gates             in a product with a gate the signal takes all (Arras et al. 2017); in a product of two signals
                      each takes half (Achtibat et al. 2024)
    sums, selections  exact: reshaping, adding, pooling and joining are linear

Values stay the same; only gradients change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import handle_torch_function, has_torch_function_unary
from torch.utils._pytree import tree_leaves, tree_map

from ndg.errors import LayerError
from ndg.importance.methods.lrp.ledger import Ledger, Maybe, Redirected

Call = Callable[..., Any]
Linear = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True, eq=False)
class Rules:
    """Choice of the rule for linear maps, and the ledger."""

    gamma: float | int
    epsilon: float | int
    ledger: Ledger

    def weighted(self, apply: Linear, input: Tensor, weight: Tensor, bias: Maybe = None, wide: Maybe = None) -> Tensor:
        """Linear map with weights; `wide` is its bias, shaped to broadcast."""
        value = apply(input, weight, bias)
        if not self.gamma:
            return self.stabilised(value, value, wide)
        up, down = (weight + self.gamma * part for part in (weight.clamp(min=0), weight.clamp(max=0)))
        rises, falls = input.clamp(min=0), input.clamp(max=0)
        above = apply(rises, up, None) + apply(falls, down, None)
        below = apply(rises, down, None) + apply(falls, up, None)
        share = torch.where(value > 0, above, below)
        if wide is not None:
            wide = wide + self.gamma * torch.where(value > 0, wide.clamp(min=0), wide.clamp(max=0))
            share = share + wide
        return self.stabilised(value, share, wide)

    def stabilised(self, value: Tensor, share: Tensor, constant: Maybe = None) -> Tensor:
        """Value with relevance in proportion to share / (share + epsilon sign)."""
        fixed = share.detach()
        added = torch.full_like(fixed, self.epsilon).copysign(fixed)
        factor = (value.detach() / (fixed + added)).masked_fill(fixed + added == 0, 0.0)
        return self.redirected(value, share, factor, constant, added)

    def redirected(
        self, value: Tensor, share: Tensor, factor: Maybe = None, constant: Maybe = None, rest: Maybe = None
    ) -> Tensor:
        """Value with the gradient of `share`; see `Redirected`."""
        wide = None if constant is None else constant.detach().expand_as(value)
        result: Tensor = Redirected.apply(value.detach(), share, factor, wide, rest, self.ledger)
        return result


def carries(value: Any) -> bool:
    """Whether a tensor receives relevance."""
    return isinstance(value, Tensor) and value.requires_grad


def passed(rules: Rules, input: Tensor, value: Tensor) -> Tensor:
    """Output of an elementwise function that passes on all relevance."""
    before, after = input.detach(), value.detach()
    ratio = torch.where(before == 0, torch.zeros_like(after), after / before)
    kept = torch.where(before == 0, after, torch.zeros_like(after))
    return rules.redirected(after, input.to(after.dtype), ratio, kept)


def _linear(rules: Rules, call: Call, input: Tensor, weight: Tensor, bias: Maybe = None) -> Tensor:
    _constant_weights(call, weight, bias)
    return rules.weighted(functional.linear, input, weight, bias, bias)


def _convolution(
    rules: Rules, call: Call, input: Tensor, weight: Tensor, bias: Maybe = None, *more: Any, **named: Any
) -> Tensor:
    _constant_weights(call, weight, bias)

    def apply(values: Tensor, kernel: Tensor, added: Maybe) -> Any:
        return call(values, kernel, added, *more, **named)

    return rules.weighted(apply, input, weight, bias, _by_channel(bias, weight))


def _addmm(
    rules: Rules, call: Call, bias: Tensor, rows: Tensor, weight: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    _constant_weights(call, weight, bias)

    def apply(values: Tensor, matrix: Tensor, added: Tensor | None) -> Tensor:
        return values @ matrix if added is None else torch.addmm(added, values, matrix)

    return rules.weighted(apply, rows, weight * alpha, bias * beta, bias * beta)


def _constant_weights(call: Call, *weights: Any) -> None:
    if any(map(carries, weights)):
        raise LayerError(
            f"LRP takes the weights of a linear map as constants; those of {name_of(call)!r} depend on a scored "
            "layer; score layers after it, or use method='conductance'"
        )


def _product(rules: Rules, call: Call, *arguments: Any, **named: Any) -> Tensor:
    """Product rule: two relevant factors take half each, a single one takes all."""
    factors = [factor for factor in tree_leaves((arguments, named)) if carries(factor)]
    if call in MATRIX and len(factors) == 1 and len(arguments) == 2:
        left, right = arguments
        if call in FORWARD and carries(left) and _is_weight(right):
            return rules.weighted(lambda values, matrix, _: call(values, matrix), left, right)
        value = call(left, right)
        return rules.stabilised(value, value)
    if len(factors) > 1:

        def part(value: Any) -> Any:
            return _share(value, len(factors)) if carries(value) else value

        arguments, named = tree_map(part, (arguments, named))
    value = call(*arguments, **named)
    return rules.stabilised(value, value) if call in MATRIX else value


def _is_weight(value: Tensor) -> bool:
    return isinstance(value, nn.Parameter) or isinstance(value._base, nn.Parameter)


def _share(value: Tensor, number: int) -> Tensor:
    """Value whose uses each take an equal part of the relevance."""
    part = value / number
    return part + (value - part).detach()


def _quotient(rules: Rules, call: Call, over: Any, under: Any, **named: Any) -> Any:
    return call(over, under.detach() if isinstance(under, Tensor) else under, **named)


def _under(rules: Rules, call: Call, under: Any, over: Any, **named: Any) -> Any:
    return call(under.detach(), over, **named)


def _gated(rules: Rules, call: Call, gate: Tensor, signal: Tensor) -> Tensor:
    return gate.detach() * signal


def _constant(rules: Rules, call: Call, *arguments: Any, **named: Any) -> Any:
    result = call(*arguments, **named)
    return tree_map(lambda value: value.detach() if isinstance(value, Tensor) else value, result)


def _attention(rules: Rules, call: Call, query: Tensor, key: Tensor, value: Tensor, *more: Any, **named: Any) -> Tensor:
    mixed = call(query.detach(), key.detach(), value, *more, **named)
    return rules.stabilised(mixed, mixed) if carries(mixed) else mixed


def _affine(rules: Rules, call: Call, *arguments: Any, **named: Any) -> Tensor:
    """Function that is linear except for its other arguments."""
    value: Tensor = call(*arguments, **named)
    with torch.no_grad():
        empty = tree_map(lambda value: torch.zeros_like(value) if carries(value) else value, (arguments, named))
        constant = call(*empty[0], **empty[1])
    return rules.redirected(value, value, constant=constant) if bool(constant.any()) else value


def _batch_norm(rules: Rules, call: Call, *arguments: Any, **named: Any) -> Tensor:
    training = named.get("training", arguments[5] if len(arguments) > 5 else False)
    if training:
        raise LayerError(
            "LRP takes the statistics of a batch norm as constants; one of this network computes them from the batch; "
            "give it running statistics (track_running_stats=True)"
        )
    return _affine(rules, call, *arguments, **named)


def _layer_norm(rules: Rules, call: Call, *arguments: Any, **named: Any) -> Tensor:
    input, shape, weight, bias, eps = _norm("input normalized_shape weight bias eps", arguments, named)
    axes = tuple(range(-len(tuple(shape)), 0))
    return _normalised(rules, call(input.detach(), shape, weight, bias, eps), input, axes, weight, bias, eps)


def _group_norm(rules: Rules, call: Call, *arguments: Any, **named: Any) -> Tensor:
    input, groups, weight, bias, eps = _norm("input num_groups weight bias eps", arguments, named)
    value = call(input.detach(), groups, weight, bias, eps)
    split = input.unflatten(1, (groups, -1))
    axes = tuple(range(2, split.ndim))
    return _normalised(rules, value, split, axes, _by_channel(weight, input), _by_channel(bias, input), eps)


def _instance_norm(rules: Rules, call: Call, *arguments: Any, **named: Any) -> Tensor:
    names = "input running_mean running_var weight bias use_input_stats momentum eps"
    input, mean, variance, weight, bias, own, momentum, eps = _norm(names, arguments, named)
    if not own:
        return _affine(rules, call, input, mean, variance, weight, bias, False, momentum, eps)
    value = call(input.detach(), None, None, weight, bias, True, momentum, eps)
    axes = tuple(range(2, input.ndim))
    return _normalised(rules, value, input, axes, _by_channel(weight, input), _by_channel(bias, input), eps)


def _norm(names: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
    """Arguments of a norm in the order of their names, with torch's defaults."""
    defaults = {"use_input_stats": True, "momentum": 0.1, "eps": 1e-5}
    values = defaults | dict(zip(names.split(), arguments, strict=False)) | named
    return [values.get(name) for name in names.split()]


def _by_channel(values: Maybe, like: Tensor) -> Tensor | None:
    return None if values is None else values.reshape(-1, *[1] * (like.ndim - 2))


def _normalised(
    rules: Rules, value: Tensor, input: Tensor, axes: tuple[int, ...], weight: Maybe, bias: Maybe, eps: float
) -> Tensor:
    """Output of a norm with the deviation as a constant."""
    scale = (input.detach().var(dim=axes, correction=0, keepdim=True) + eps).rsqrt()
    share = ((input - input.mean(dim=axes, keepdim=True)) * scale).reshape(value.shape)
    if weight is not None:
        share = share * weight
    if bias is not None:
        share = share + bias
    return rules.redirected(value, share, constant=bias)


def _rms_norm(
    rules: Rules, call: Call, input: Tensor, normalized_shape: Any, weight: Maybe = None, eps: float | None = None
) -> Tensor:
    axes = tuple(range(-len(tuple(normalized_shape)), 0))
    small = torch.finfo(input.dtype).eps if eps is None else eps
    share = input * (input.detach().square().mean(dim=axes, keepdim=True) + small).rsqrt()
    value = call(input.detach(), normalized_shape, weight, eps)
    return rules.redirected(value, share if weight is None else share * weight)


def _normalize(
    rules: Rules, call: Call, input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, **_: Any
) -> Tensor:
    return input / input.detach().norm(p, dim, keepdim=True).clamp_min(eps)


def _elementwise(rules: Rules, call: Call, input: Any, *more: Any, **named: Any) -> Any:
    if not carries(input) or any(map(carries, (*more, *named.values()))):
        raise refused(call)
    before = input.detach().clone()
    value = call(before, *more, **named)
    if not before._version:
        return passed(rules, input, value)
    return input.copy_(passed(rules, input.clone(), value))  # in-place result


def _power(rules: Rules, call: Call, input: Any, exponent: Any) -> Any:
    divides = isinstance(exponent, (int, float)) and exponent < 0
    return (_constant if divides else _elementwise)(rules, call, input, exponent)


def activation(call: Call, input: Tensor) -> Tensor:
    """Composite elementwise function as one call, visible to function modes."""
    if has_torch_function_unary(input):
        result: Tensor = handle_torch_function(activation, (input,), call, input)
        return result
    value: Tensor = call(input)
    return value


def _activation(rules: Rules, _: Call, call: Call, input: Tensor) -> Tensor:
    return passed(rules, input, call(input.detach()))


def name_of(call: Call) -> str:
    """Name of a function for messages."""
    return torch.overrides.resolve_name(call) or getattr(call, "__name__", str(call))


def refused(call: Call) -> LayerError:
    """Error for a function without a rule."""
    return LayerError(
        f"LRP has a rule for each function between a scored layer and the logits; there is none for "
        f"{name_of(call)}; score layers after it, or use method='conductance' or 'gradient_x_activation'"
    )


def _table(rule: Call | None, names: str) -> dict[str, Call | None]:
    return dict.fromkeys(names.split(), rule)


RULES: dict[str, Call | None] = {
    **_table(_linear, "linear"),
    **_table(_convolution, "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"),
    **_table(_addmm, "addmm"),
    **_table(_product, "mul __mul__ __rmul__ multiply matmul __matmul__ __rmatmul__ bmm mm mv dot inner einsum"),
    **_table(_quotient, "div __truediv__ true_divide divide"),
    **_table(_under, "__rtruediv__ __rdiv__"),
    **_table(_gated, "gated"),
    **_table(_constant, "softmax softmin rsqrt reciprocal var std norm linalg_norm linalg_vector_norm"),
    **_table(_attention, "scaled_dot_product_attention"),
    **_table(_batch_norm, "batch_norm"),
    **_table(_layer_norm, "layer_norm"),
    **_table(_group_norm, "group_norm"),
    **_table(_instance_norm, "instance_norm"),
    **_table(_rms_norm, "rms_norm"),
    **_table(_normalize, "normalize"),
    **_table(
        _elementwise,
        "relu relu6 leaky_relu rrelu elu selu celu gelu silu mish sigmoid tanh softplus softsign hardtanh hardsigmoid "
        "hardswish logsigmoid threshold prelu clamp clamp_min clamp_max clip abs square sqrt hardshrink "
        "softshrink tanhshrink erf sin expm1 log1p",
    ),
    **_table(_power, "pow __pow__"),
    **_table(_activation, "activation"),
    **_table(
        _affine,
        "add __add__ __radd__ sub subtract __sub__ __rsub__ rsub cat concat concatenate stack hstack vstack where "
        "masked_fill pad index_add scatter scatter_add",
    ),
    **_table(
        None,
        "neg negative __neg__ positive __pos__ sum mean cumsum reshape view view_as reshape_as flatten unflatten ravel "
        "squeeze unsqueeze transpose swapaxes swapdims permute movedim moveaxis t adjoint expand expand_as repeat "
        "repeat_interleave tile broadcast_to broadcast_tensors contiguous clone to type type_as float double half "
        "bfloat16 cpu cuda __getitem__ select narrow split split_with_sizes chunk unbind tensor_split index_select "
        "gather take_along_dim roll flip rot90 diagonal tril triu unfold fold pixel_shuffle pixel_unshuffle "
        "channel_shuffle adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d avg_pool1d avg_pool2d avg_pool3d "
        "max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices "
        "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d _max_pool1d _max_pool2d _max_pool3d "
        "_adaptive_max_pool1d _adaptive_max_pool2d _adaptive_max_pool3d boolean_dispatch max min amax amin maximum "
        "minimum topk sort dropout dropout1d dropout2d dropout3d feature_dropout alpha_dropout feature_alpha_dropout "
        "interpolate upsample __get__ __iter__ requires_grad_ retain_grad register_hook copy_ __setitem__ fill_ zero_ "
        "masked_fill_ index_put_ detach __set__ as_strided",
    ),
}
"""Rule of each function by name; None if its own gradient is the rule."""

MATRIX = {torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.__rmatmul__, torch.bmm}
MATRIX |= {torch.Tensor.bmm, torch.mm, torch.Tensor.mm, torch.mv, torch.Tensor.mv}
FORWARD = MATRIX - {torch.Tensor.__rmatmul__}
"""Matrix products, and those with the first argument on the left."""
