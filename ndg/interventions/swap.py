"""Logits under interchange for pairs of examples of one pool.

The network up to the layer runs once for each example of the pool, the rest once for each distinct pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ndg.activations.batches import COMPUTE_BATCH, Inputs, compute_batches, fixed, forward, padded, pick
from ndg.activations.hooks import find_layer
from ndg.errors import DataError, LayerError, ShapeError
from ndg.interventions.engine import Engine, Fixed, Prefix, Rows, same_logits

Indices = Int64[np.ndarray, " _"]


@dataclass(frozen=True, eq=False)
class _Pool:
    """A network's layer output on all pool examples, and its prefix."""

    size: int
    prefix: Prefix
    output: Any

    @property
    def first(self) -> Tensor:
        """The output, or the first of a tuple."""
        return self.output[0] if isinstance(self.output, tuple) else self.output

    def fixed(self, output: Tensor, rows: Rows) -> Fixed:
        """The whole output on these rows, with another first element."""
        if not isinstance(self.output, tuple):
            return Fixed(output)

        def picked(value: Any) -> Any:
            by_row = isinstance(value, Tensor) and value.ndim and len(value) == self.size
            return value.index_select(0, rows.to(value.device)) if by_row else value

        return Fixed((output, *tree_map(picked, self.output[1:])))


def swap(
    model: nn.Module,
    pool: Inputs | Iterable[Any],
    layer: str,
    units: Sequence[int] | None,
    base: Indices,
    source: Indices,
    *,
    batch: int = COMPUTE_BATCH,
    threads: int = 1,
) -> Float[Tensor, "pair label"]:
    """Logits of bases whose units of a layer are their sources'.

    `base` and `source` are rows of the pool: a tensor, a dictionary of tensors or a loader. `units` None swaps all.
    Units of `[example, unit]` or `[example, channel, position...]` are on the second axis, those of `[example, token,
    unit]` on the last, with all tokens. Every pass has `batch` rows. Without units the logits are exactly the base's.
    Raises LayerError for an unknown layer or unit, or a layer that is not used once; ShapeError unless each base has
    one source; DataError for rows outside the pool.
    """
    with fixed(model, threads), torch.inference_mode():
        engine = Engine(model, [layer])
        passed = _passed(engine, layer, pool, batch)
        _check(passed, layer, units, base, source)
        keys, place = np.unique(base * passed.size + source, return_inverse=True)
        if units is None or len(units):
            logits = _swapped(engine, layer, passed, units, keys, batch)[torch.from_numpy(place.reshape(-1))]
        else:
            untouched = compute_batches([passed.prefix.inputs], batch)
            logits = torch.cat([forward(model, part.inputs)[: part.count] for part in untouched])
            logits = logits[torch.from_numpy(base)]
    return logits.clone()


class _ReachedError(Exception):
    """Ends a pass at the layer."""


def _passed(engine: Engine, layer: str, pool: Inputs | Iterable[Any], batch: int) -> _Pool:
    module = find_layer(engine.model, layer)
    outputs: list[Any] = []

    def reached(module: nn.Module, arguments: Any, output: Any) -> None:
        outputs.append(tree_map(lambda value: value.clone() if isinstance(value, Tensor) else value, output))
        raise _ReachedError

    parts: list[tuple[int, Any]] = []
    rows = batch
    with module.register_forward_hook(reached):
        for part in compute_batches([pool] if isinstance(pool, (Tensor, dict)) else pool, batch):
            with engine.recording(part.inputs) as prefix, suppress(_ReachedError):
                forward(engine.model, part.inputs)
            if len(outputs) == len(parts):
                raise _once(layer, 0)
            parts.append((part.count, (part.inputs, outputs[-1], prefix.recorded)))
    if not parts:
        raise DataError("a pool has at least one example; the loader gave none; check the split")

    def joined(*same: Any) -> Any:
        if isinstance(same[0], Tensor) and same[0].ndim and len(same[0]) == rows:
            return torch.cat([value[:count] for value, (count, _) in zip(same, parts, strict=True)])
        return same[0]

    inputs, output, recorded = tree_map(joined, *[whole for _, whole in parts])
    return _Pool(sum(count for count, _ in parts), Prefix(inputs, recorded), output)


def _once(layer: str, times: int) -> LayerError:
    return LayerError(
        f"an interchange is at a layer that is used once in a forward pass; {layer!r} was used {times} times; choose a "
        "layer on the way from inputs to logits"
    )


def _check(pool: _Pool, layer: str, units: Sequence[int] | None, base: Indices, source: Indices) -> None:
    if len(base) != len(source):
        raise ShapeError(f"each base has one source; got {len(base)} bases and {len(source)} sources")
    for rows in (base, source):
        if len(rows) and not 0 <= rows.min() <= rows.max() < pool.size:
            raise DataError(
                f"bases and sources are rows of the pool, 0 to {pool.size - 1}; got {rows.min()} to {rows.max()}"
            )
    if not isinstance(pool.first, Tensor) or pool.first.ndim < 2 or len(pool.first) != pool.size:
        raise LayerError(f"an interchange is at a layer that gives (example, unit, ...); {layer!r} does not")
    many = pool.first.shape[_axis(pool.first)]
    if units is not None and len(units) and not 0 <= min(units) <= max(units) < many:
        raise LayerError(f"units of {layer!r} are 0 to {many - 1}; got {min(units)} to {max(units)}")


def _axis(output: Tensor) -> int:
    return 2 if output.ndim == 3 else 1


def _swapped(
    engine: Engine, layer: str, pool: _Pool, units: Sequence[int] | None, keys: Int64[np.ndarray, " pair"], batch: int
) -> Tensor:
    """Logits of the pairs, `base * size + source`."""
    base, source = torch.from_numpy(keys // pool.size), torch.from_numpy(keys % pool.size)
    write = _writer(pool.first, units)
    prefix = pool.prefix if _selecting(engine, layer, pool) else Prefix(pool.prefix.inputs, {})
    logits = []
    for start in range(0, len(base), batch):
        rows, givers = (padded(part[start : start + batch], batch) for part in (base, source))
        change = {layer: pool.fixed(write(rows, givers), rows)}
        logits.append(engine.run(prefix, change, rows)[: len(base) - start])
    return torch.cat(logits)


def _writer(output: Tensor, units: Sequence[int] | None) -> Callable[[Rows, Rows], Tensor]:
    """Makes the output of bases with the units of sources."""
    if units is None:
        return lambda rows, givers: output.index_select(0, givers)
    axis = _axis(output)
    places = sorted(set(units))
    if places == list(range(places[0], places[-1] + 1)):
        part = output.narrow(axis, places[0], len(places)).contiguous()
    else:
        part = output.index_select(axis, torch.tensor(places, device=output.device))

    def write(rows: Rows, givers: Rows) -> Tensor:
        changed = output.index_select(0, rows)
        values = part.index_select(0, givers)
        if part.shape[axis] == places[-1] - places[0] + 1:
            changed.narrow(axis, places[0], len(places)).copy_(values)
            return changed
        return changed.index_copy_(axis, torch.tensor(places, device=output.device), values)

    return write


def _selecting(engine: Engine, layer: str, pool: _Pool) -> bool:
    """Whether recorded rows can be selected; tried on two."""
    rows, times = torch.tensor([pool.size - 1, 0]), []
    with find_layer(engine.model, layer).register_forward_hook(lambda *_: times.append(layer)):
        expected = forward(engine.model, pick(pool.prefix.inputs, rows))
    if len(times) != 1:
        raise _once(layer, len(times))
    try:
        again = engine.run(pool.prefix, {layer: pool.fixed(pool.first.index_select(0, rows), rows)}, rows)
    except (RuntimeError, IndexError):  # a tensor whose first axis is no example, and only as long as the pool
        return False
    return same_logits(again, expected)
