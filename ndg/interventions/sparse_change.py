"""Propagate the change of one unit cheaply.

A row of a pass differs from its example's untouched pass in one channel. Through activations, norms in evaluation mode,
pooling and sums that stays so, and only that channel is computed. A convolution or dense layer spreads it: its output
is the untouched one plus its effect on the difference of that channel, which costs a share of 1/channels. After that,
and at any operation without a rule here, rows are whole tensors again. A first pass computes the untouched results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeGuard
from weakref import ReferenceType, ref

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_map

aten = torch.ops.aten

UNARY = {
    getattr(aten, name).default
    for name in ("relu", "sigmoid", "tanh", "gelu", "silu", "hardtanh", "leaky_relu", "elu", "softplus", "hardswish")
} | {aten.mul.Scalar, aten.add.Scalar, aten.clone.default}
"""What treats every value alike, and none in place."""

IN_PLACE = {
    getattr(aten, f"{name}_").default: getattr(aten, name).default
    for name in ("relu", "sigmoid", "tanh", "gelu", "silu", "hardtanh", "leaky_relu", "elu", "hardswish")
}

POOLS = {aten.avg_pool2d.default, aten._adaptive_avg_pool2d.default, aten.avg_pool3d.default}
"""What treats every channel alike."""


class _NoRuleError(Exception):
    """An operation without a rule for these values."""


class BaselineValues:
    """Results of the untouched pass by operation.

    An operation is known by what it does, the untouched values that it does it to, and which time in a pass that is.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, int, int], Any] = {}
        self._held: list[Tensor] = []
        self._times: Counter[tuple[Any, int]] = Counter()
        self._recording = True

    def begin(self, recording: bool) -> None:
        """A pass begins."""
        self._recording = recording
        self._times.clear()

    def at(self, function: Any, base: Tensor, compute: Callable[[], Any]) -> Any:
        """The operation's recorded result; _NoRuleError if it was not reached."""
        what = function, id(base)
        self._times[what] += 1
        key = (*what, self._times[what])
        if self._recording:
            self._held.append(base)  # so that no other tensor is known by its id
            self._known[key] = compute()
        if key not in self._known:
            raise _NoRuleError
        return self._known[key]


@dataclass(frozen=True, eq=False)
class ChangedUnits:
    """Example and unit of each row, sorted by unit.

    `rows` None: all in order.
    """

    rows: Int64[Tensor, " row"] | None
    units: Int64[Tensor, " row"]
    runs: tuple[tuple[int, int, int], ...]
    baseline: BaselineValues

    @classmethod
    def of(
        cls, rows: Int64[Tensor, " row"], units: Int64[Tensor, " row"], size: int, baseline: BaselineValues
    ) -> ChangedUnits:
        """`size` is the number of examples of the untouched pass."""
        runs, start = [], 0
        for unit, same in groupby(units.tolist()):
            stop = start + len(list(same))
            runs.append((unit, start, stop))
            start = stop
        every = len(rows) == size and torch.equal(rows, torch.arange(size, device=rows.device))
        return cls(None if every else rows, units, tuple(runs), baseline)

    def pick(self, base: Tensor) -> Tensor:
        """Untouched values of each row; not to be written to."""
        return base if self.rows is None else base.index_select(0, self.rows)

    def channel(self, base: Tensor) -> Tensor:
        """The untouched values of each row's unit, `[row, 1, ...]`."""
        rows = torch.arange(len(self.units), device=base.device) if self.rows is None else self.rows
        return base[rows, self.units][:, None]


class OneUnit(Tensor):
    """Rows of `base` `[example, unit, ...]` that differ in one unit.

    That unit has the `value` `[row, 1, ...]`. While the untouched pass is recorded `which` is None and it is `base`
    itself. What may be written to elsewhere, by a view or in place, is a plain tensor from then on, `kept`. `shared`
    are others that are the same memory in another shape.
    """

    base: Tensor
    value: Tensor | None
    which: ChangedUnits | None
    baseline: BaselineValues
    kept: Tensor | None
    shared: list[ReferenceType[OneUnit]]

    @staticmethod
    def __new__(
        cls, base: Tensor, value: Tensor | None, which: ChangedUnits | None, baseline: BaselineValues
    ) -> OneUnit:
        rows = len(base) if which is None else len(which.units)
        made = Tensor._make_wrapper_subclass(
            cls,
            (rows, *base.shape[1:]),
            strides=torch.empty_like(base, device="meta").stride(),
            dtype=base.dtype,
            device=base.device,
        )
        made.base, made.value, made.which, made.baseline = base, value, which, baseline
        made.kept, made.shared = None, []
        return made

    def whole(self) -> Tensor:
        """The rows as a plain tensor, new unless they are kept."""
        if self.kept is not None:
            return self.kept
        if self.which is None or self.value is None:
            return self.base.clone()
        if self.which.rows is None:
            rows = self.base.clone()
        else:
            rows = torch.index_select(self.base, 0, self.which.rows, out=torch.empty_like(self.base))
        rows[torch.arange(len(rows), device=rows.device), self.which.units] = self.value[:, 0]
        return rows

    def keep(self) -> Tensor:
        """The rows as a plain tensor that they stay."""
        if self.kept is None:
            self.kept = self.whole()
            for other in self.others():
                other.kept = self.kept.view(other.shape)
        return self.kept

    def others(self) -> list[OneUnit]:
        """Those of `shared` that there still are."""
        return [other for other in (held() for held in self.shared) if other is not None]

    def changed(self, base: Tensor, value: Tensor | None) -> OneUnit:
        """The same rows and units with other values."""
        return OneUnit(base, value, self.which, self.baseline)

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        kwargs = kwargs or {}
        first = args[0] if args else None
        with suppress(_NoRuleError):
            if _in_one_unit(first):
                return _ruled(function, first, args, kwargs)
            if function is aten.addmm.default and _in_one_unit(args[1]) and not kwargs:
                return _dense(function, args[1], args[2], args[0])
            if function is aten.add.Tensor and _in_one_unit(args[1]) and not kwargs and type(first) is not OneUnit:
                return _sum(function, args[1], first)
        writes = any(part.alias_info is not None for part in function._schema.arguments)  # a view, or in place

        def plain(value: Any) -> Any:
            if not isinstance(value, OneUnit):
                return value
            return value.keep() if writes else value.whole()

        return function(*tree_map(plain, args), **tree_map(plain, kwargs))


def _in_one_unit(value: Any) -> TypeGuard[OneUnit]:
    return isinstance(value, OneUnit) and value.kept is None


def _ruled(function: Any, x: OneUnit, args: Any, kwargs: Any) -> Any:
    """An operation's result by a rule."""
    rest = args[1:]
    if any(isinstance(part, OneUnit) for part in rest):
        raise _NoRuleError
    within = function is aten.mean.dim and rest[0] and all(axis % x.ndim > 1 for axis in rest[0])
    if function in UNARY or (function in POOLS and x.ndim > 3) or within:
        return _each(function, x, lambda values: function(values, *rest, **kwargs))
    if function in IN_PLACE:
        return _written(x, _each(function, x, lambda values: IN_PLACE[function](values, *rest, **kwargs)))
    if function is aten.add_.Tensor and isinstance(rest[0], Tensor) and rest[0].dtype == x.dtype and not kwargs:
        return _written(x, _sum(function, x, rest[0]))
    if function is aten.max_pool2d_with_indices.default:
        known = x.baseline.at(function, x.base, lambda: function(x.base, *rest, **kwargs))
        values = (None, None) if x.value is None else function(x.value, *rest, **kwargs)
        return tuple(map(x.changed, known, values))  # the maxima, and where they are
    if function in (aten.view.default, aten._unsafe_view.default, aten.reshape.default):
        return _folded(function, x, list(rest[0]))
    if function is aten.add.Tensor and not kwargs:
        return _sum(function, x, rest[0])
    if function is aten.native_batch_norm.default and not rest[4]:
        weight, bias, mean, variance, _, _, least = rest
        return _norm(function, x, weight, bias, mean, variance, least)
    if function is aten.convolution.default and not rest[5] and rest[7] == 1:
        return _convolved(function, x, *rest[:5])
    if function is aten.mm.default:
        return _dense(function, x, rest[0], None)
    raise _NoRuleError


def _written(x: OneUnit, after: OneUnit) -> OneUnit:
    """The same rows, which from now on have these values."""
    x.base, x.value = after.base, after.value
    for other in x.others():
        other.base = x.base.view(other.base.shape)
        other.value = None if x.value is None else x.value.view(-1, *[1] * (other.ndim - 1))
    return x


def _each(function: Any, x: OneUnit, apply: Callable[[Tensor], Tensor]) -> OneUnit:
    base = x.baseline.at(function, x.base, lambda: apply(x.base))
    return x.changed(base, None if x.value is None else apply(x.value))


def _sum(function: Any, x: OneUnit, other: Any) -> OneUnit:
    if not isinstance(other, Tensor) or other.shape != x.shape:
        raise _NoRuleError
    beside, base = x.baseline.at(function, x.base, lambda: (other.clone(), x.base + other))
    if x.value is None or x.which is None:
        return x.changed(base, None)
    if not torch.equal(x.which.pick(beside), other):  # the change has reached the other term as well
        raise _NoRuleError
    return x.changed(base, x.value + x.which.channel(beside))


def _folded(function: Any, x: OneUnit, shape: list[int]) -> OneUnit:
    """`[row, unit, 1, 1]` as `[row, unit]`."""
    if x.base[0, 0].numel() != 1 or len(shape) != 2 or shape[1] not in (-1, x.shape[1]):
        raise _NoRuleError
    folded = _each(function, x, lambda values: values.reshape(len(values), -1))
    folded.shared = [ref(x), *x.shared]  # no more than known, so that nothing waits for the garbage collector
    for other in folded.others():
        other.shared = [*other.shared, ref(folded)]
    return folded


def _norm(
    function: Any, x: OneUnit, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, least: float
) -> Any:
    base = x.baseline.at(
        function, x.base, lambda: functional.batch_norm(x.base, mean, variance, weight, bias, False, 0.0, least)
    )
    if x.value is None or x.which is None:
        return x.changed(base, None), None, None
    units, shape = x.which.units, (-1, 1, *[1] * (x.ndim - 2))
    scale = torch.rsqrt(variance + least) * (1 if weight is None else weight)
    value = (x.value - mean[units].reshape(shape)) * scale[units].reshape(shape)
    return x.changed(base, value if bias is None else value + bias[units].reshape(shape)), None, None


def _convolved(
    function: Any, x: OneUnit, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any
) -> Any:
    convolve: Any = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}[x.ndim]
    base = x.baseline.at(function, x.base, lambda: convolve(x.base, weight, bias, stride, padding, dilation))
    if x.value is None or x.which is None:
        return base.clone()
    change = x.value - x.which.channel(x.base)
    parts = [
        convolve(change[start:stop], weight[:, unit : unit + 1], None, stride, padding, dilation)
        for unit, start, stop in x.which.runs
    ]
    effect = parts[0] if len(parts) == 1 else torch.cat(parts)
    return effect.add_(x.which.pick(base))


def _dense(function: Any, x: OneUnit, weight: Tensor, bias: Tensor | None) -> Any:
    if x.ndim != 2:
        raise _NoRuleError
    base = x.baseline.at(
        function, x.base, lambda: x.base @ weight if bias is None else torch.addmm(bias, x.base, weight)
    )
    if x.value is None or x.which is None:
        return base.clone()
    change = x.value - x.which.channel(x.base)
    return torch.addcmul(x.which.pick(base), change, weight[x.which.units])
