"""Straight paths from a baseline to inputs or token embeddings.

with starting(model, loader, "zero", batch=256) as start, Tape(model, layers) as tape:
    path = start.path(batch.inputs)
    tape.run(path(0.5))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ndg.activations.batches import Inputs, by_name, check_finite, examples_in_batches
from ndg.errors import ConfigError, ShapeError, nearest
from ndg.gradients.autograd import gradients_of
from ndg.gradients.embeddings import IDS, STILL, Words
from ndg.gradients.neutral import Baselines, check_rereadable, describe
from ndg.gradients.tape import add


@dataclass(frozen=True, eq=False)
class Path:
    """Path from the baseline, `path(0.0)`, to the inputs, `path(1.0)`.

    `path(a, b)` has all rows at position a, then all rows at b.
    """

    moving: dict[str, Tensor]
    starts: dict[str, Tensor]
    still: dict[str, Tensor]

    def __call__(self, *positions: float) -> Inputs:
        moved = {
            key: torch.cat([torch.lerp(self.starts[key].expand_as(end), end, position) for position in positions])
            for key, end in self.moving.items()
        }
        times = len(positions)
        still = {key: column.repeat(times, *[1] * (column.ndim - 1)) for key, column in self.still.items()}
        return joined(moved, still)

    def rows(self, rows: Tensor) -> Path:
        """Paths of some examples."""
        parts = (
            {key: column[rows.to(column.device)] if len(column) > 1 else column for key, column in columns.items()}
            for columns in (self.moving, self.starts, self.still)
        )
        return Path(*parts)


@dataclass(frozen=True, eq=False)
class Start:
    """Start of paths: the baseline input."""

    baselines: Baselines
    means: Mapping[str, Tensor]
    words: Words

    @property
    def name(self) -> str:
        return describe(self.baselines, self.words.what)

    def path(self, inputs: Inputs) -> Path:
        """Paths to the inputs of a batch.

        Padded tokens do not move.

        Raises ShapeError for a baseline that does not fit, ConfigError for a number as baseline of token ids, DataError
        for whole numbers that no `nn.Embedding` reads.
        """
        moving, still = parts(self.words.embedded(inputs))
        if isinstance(self.baselines, Mapping):
            unknown = next((name for name in self.baselines if name not in moving), None)
            if unknown is not None:
                alone = "this network has one unnamed input: give a tensor"
                there = alone if "" in moving else nearest(unknown, moving)
                raise ConfigError(f"baselines are of inputs that move; got {unknown!r}; {there}")
        several = len(moving) > 1
        starts = {key: self._start(key, column, IDS + key in still, several) for key, column in moving.items()}
        for key, column in moving.items():
            kept = self.words.kept(still, key) if IDS + key in still else None
            if kept is not None:
                starts[key] = torch.where(kept[..., None], starts[key], column)
        return Path(moving, starts, still)

    def _start(self, key: str, column: Tensor, tokens: bool, several: bool) -> Tensor:
        if self.means:
            return self.means[key]
        start = self.baselines.get(key, "zero") if isinstance(self.baselines, Mapping) else self.baselines
        if tokens and (not start.is_floating_point() if isinstance(start, Tensor) else not isinstance(start, str)):
            came = f"a tensor of {start.dtype}" if isinstance(start, Tensor) else repr(start)
            raise ConfigError(
                f"the baseline of token ids is zero, mean, or a tensor of embeddings; got {came}, which may be a token "
                "or a value; give the embedding that you mean, of one token or of each"
            )
        if not isinstance(start, Tensor):
            return column.new_full((1,) * column.ndim, 0.0 if isinstance(start, str) else float(start))
        axes = column.ndim - start.ndim
        shaped = start.to(column)[(None,) * axes] if axes == 1 or (tokens and start.ndim == 1) else start.to(column)
        fits = shaped.ndim == column.ndim and len(shaped) == 1
        sides = zip(shaped.shape[1:], column.shape[1:], strict=False)
        if not fits or any(have not in (1, want) for have, want in sides):
            raise ShapeError(
                f"a baseline input has the shape of one example{' embedded' if tokens else ''}, "
                f"{tuple(column.shape[1:])}; got {tuple(start.shape)}{f' for {key!r}' if key else ''}; give such a "
                f"tensor, {'tensors by name, ' if several else ''}{'' if tokens else 'a number, '}'zero' or 'mean'"
            )
        return shaped


@contextmanager
def starting(model: nn.Module, loader: Iterable[Any], baselines: Baselines, batch: int) -> Iterator[Start]:
    """Context in which paths to token embeddings can start.

    A `mean` is over the examples, for embeddings over unpadded tokens. Enter it before a Tape.
    """
    with Words(model, loader) as words:
        mean = isinstance(baselines, str) and baselines == "mean"
        yield Start(baselines, _means(loader, batch, words) if mean else {}, words)


def parts(inputs: Inputs) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs that move along a path, and those that stay."""
    columns = by_name(inputs)
    still = {key: column for key, column in columns.items() if key in STILL or key.startswith(IDS)}
    return {key: column for key, column in columns.items() if key not in still}, still


def joined(moving: Mapping[str, Tensor], still: Mapping[str, Tensor]) -> Inputs:
    """Inputs of moving and still parts."""
    return moving[""] if "" in moving and not still else {**moving, **still}


def crossed(run: Callable[[Inputs], Tensor], module: nn.Module, inputs: Inputs) -> bool:
    """Whether every path from inputs to logits crosses a module."""
    moving, still = parts(inputs)
    moving = {key: column.detach().requires_grad_() for key, column in moving.items()}
    with cut_off(module):
        logits = run(joined(moving, still))
    return reaches_none(logits, list(moving.values()))


def cut_off(module: nn.Module) -> RemovableHandle:
    """Context in which no gradient flows through the output of a module."""

    def detached(module: nn.Module, arguments: Any, output: Any) -> Any:
        return (output[0].detach(), *output[1:]) if isinstance(output, tuple) else output.detach()

    return module.register_forward_hook(detached)


def reaches_none(logits: Tensor, inputs: Sequence[Tensor]) -> bool:
    """Whether no gradient of the logits leads to any of the inputs."""
    if not logits.requires_grad:
        return True
    return all(gradient is None for gradient in gradients_of(logits.sum(), inputs, allow_unused=True))


def _means(loader: Iterable[Any], batch: int, words: Words) -> dict[str, Tensor]:
    check_rereadable(loader, "baselines='mean'")
    sums: dict[str, Tensor] = {}
    counts: Counter[str] = Counter()
    for examples in examples_in_batches(loader, batch, "mean input"):
        moving, still = parts(words.embedded(examples.inputs))
        for key, column in moving.items():
            values = column[: examples.count]
            if IDS + key not in still:
                check_finite(values.reshape(len(values), -1), key or "the input", examples)
            else:
                kept = words.kept(still, key)
                tokens = values.flatten(0, -2) if kept is None else values[kept[: examples.count]]
                values = tokens.reshape(-1, *[1] * (column.ndim - 2), column.shape[-1])
            add(sums, key, values.sum(dim=0, keepdim=True, dtype=torch.float64))
            counts[key] += len(values)
    return {key: (total / counts[key]).to(moving[key].dtype) for key, total in sums.items()}
