"""The straight path from a baseline to the inputs, for methods that follow one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ndg.activations.compute import Inputs
from ndg.errors import ConfigError, DataError, ShapeError, nearest
from ndg.importance.baselines import check_rereadable, describe
from ndg.importance.settings import Baselines, Settings, passes
from ndg.importance.tape import add

STILL = ("attention_mask", "token_type_ids", "position_ids")
"""Inputs that say where others are: they do not move along a path."""


@dataclass(frozen=True, eq=False)
class Path:
    """`path(0.0)` is the baseline, `path(1.0)` the inputs; of several positions one after the other, each with all
    rows."""

    moving: dict[str, Tensor]
    starts: dict[str, Tensor]
    still: dict[str, Tensor]

    def __call__(self, *positions: float) -> Inputs:
        moved = {
            key: torch.cat([torch.lerp(self.starts[key].expand_as(end), end, position) for position in positions])
            for key, end in self.moving.items()
        }
        if "" in moved:
            return moved[""]
        return moved | {
            key: column.repeat(len(positions), *[1] * (column.ndim - 1)) for key, column in self.still.items()
        }

    def rows(self, rows: Tensor) -> Path:
        """The paths of some of the examples."""

        def of(columns: dict[str, Tensor]) -> dict[str, Tensor]:
            return {
                key: column[rows.to(column.device)] if len(column) > 1 else column for key, column in columns.items()
            }

        return Path(of(self.moving), of(self.starts), of(self.still))


@dataclass(frozen=True, eq=False)
class Start:
    """Where paths begin: the baseline input."""

    given: Baselines
    means: Mapping[str, Tensor]

    @classmethod
    def read(cls, loader: Iterable[Any], settings: Settings) -> Start:
        """The baseline that the settings ask for; its `mean` is over the examples. DataError for integers."""
        return cls(settings.baselines, _means(loader, settings) if settings.baselines == "mean" else {})

    @property
    def name(self) -> str:
        return describe(self.given, "input")

    def path(self, inputs: Inputs) -> Path:
        """The paths to the inputs of a batch. Raises ShapeError for a baseline that does not fit them."""
        moving, still = parts(inputs)
        if isinstance(self.given, Mapping):
            unknown = next((name for name in self.given if name not in moving), None)
            if unknown is not None:
                raise ConfigError(f"baselines are of inputs that move; got {unknown!r}; {nearest(unknown, moving)}")
        return Path(moving, {key: self._start(key, column) for key, column in moving.items()}, still)

    def _start(self, key: str, column: Tensor) -> Tensor:
        if self.means:
            return self.means[key]
        given = self.given.get(key, 0.0) if isinstance(self.given, Mapping) else self.given
        if not isinstance(given, Tensor):
            return column.new_full((1,) * column.ndim, 0.0 if isinstance(given, str) else float(given))
        shaped = given.to(column)[None] if given.ndim == column.ndim - 1 else given.to(column)
        fits = shaped.ndim == column.ndim and len(shaped) == 1
        if not fits or any(
            have not in (1, want) for have, want in zip(shaped.shape[1:], column.shape[1:], strict=True)
        ):
            raise ShapeError(
                f"a baseline input has the shape of one example, {tuple(column.shape[1:])}; got "
                f"{tuple(given.shape)}{f' for {key!r}' if key else ''}; give such a tensor, a number, 'zero' or 'mean'"
            )
        return shaped


def parts(inputs: Inputs) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The inputs that move along a path, and those that say where others are. DataError where one cannot move."""
    columns = inputs if isinstance(inputs, dict) else {"": inputs}
    still = {key: column for key, column in columns.items() if key in STILL}
    for key, column in columns.items():
        if key not in still and not column.is_floating_point():
            raise DataError(
                f"a path of inputs from a baseline needs floats; {key or 'the input'} has "
                f"{column.dtype}; score a network that takes embeddings or scaled pixels, or use method='gndi'"
            )
    return {key: column for key, column in columns.items() if key not in still}, still


def crossed(run: Callable[[Inputs], Tensor], module: nn.Module, inputs: Inputs) -> bool:
    """Whether every path from inputs to logits crosses a module: with its output cut off, no gradient is left."""

    def cut(module: nn.Module, arguments: Any, output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) and output else output
        return (first.detach(), *output[1:]) if isinstance(output, tuple) else first.detach()

    moving, still = parts(inputs)
    moving = {key: column.detach().requires_grad_() for key, column in moving.items()}
    handle = module.register_forward_hook(cut)
    try:
        logits = run(moving[""] if "" in moving else moving | still)
    finally:
        handle.remove()
    if not logits.requires_grad:
        return True
    found = torch.autograd.grad(logits.sum(), list(moving.values()), allow_unused=True)
    return all(one is None for one in found)


def _means(loader: Iterable[Any], settings: Settings) -> dict[str, Tensor]:
    check_rereadable(loader, settings.baselines)
    sums: dict[str, Tensor] = {}
    examples = 0
    for one in passes(loader, settings, "mean input"):
        moving, _ = parts(one.inputs)
        for key, column in moving.items():
            add(sums, key, column[: one.count].sum(dim=0, keepdim=True, dtype=torch.float64))
        examples += one.count
    return {key: (total / examples).to(moving[key].dtype) for key, total in sums.items()}
