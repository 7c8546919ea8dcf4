"""The straight path from a baseline to the inputs, for methods that follow one; of token ids, to their embeddings.

with starting(model, loader, "zero", batch=256) as start, Tape(model, layers) as tape:
    path = start.path(batch.inputs)
    tape.run(path(0.5))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ndg.activations.batches import Inputs, check_finite, examples_in_batches
from ndg.errors import ConfigError, ShapeError, nearest
from ndg.gradients.embeddings import IDS, STILL, Words
from ndg.gradients.neutral import Baselines, check_rereadable, describe
from ndg.gradients.tape import add


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
        return joined(
            moved, {key: column.repeat(len(positions), *[1] * (column.ndim - 1)) for key, column in self.still.items()}
        )

    def change(self, key: str) -> Tensor:
        """What separates an input from its baseline; nothing at padded tokens."""
        return self.moving[key] - self.starts[key]

    def tokens(self, key: str) -> bool:
        """Whether an input is embeddings of tokens."""
        return IDS + key in self.still

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
    words: Words

    @property
    def name(self) -> str:
        return describe(self.given, self.words.what)

    def path(self, inputs: Inputs) -> Path:
        """The paths to the inputs of a batch, of token ids to their embeddings. Padded tokens are where they end.

        Raises ShapeError for a baseline that does not fit them, ConfigError for a number as that of token ids,
        DataError for whole numbers that no `nn.Embedding` reads.
        """
        moving, still = parts(self.words.embedded(inputs))
        if isinstance(self.given, Mapping):
            unknown = next((name for name in self.given if name not in moving), None)
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
        given = self.given.get(key, "zero") if isinstance(self.given, Mapping) else self.given
        if tokens and (not given.is_floating_point() if isinstance(given, Tensor) else not isinstance(given, str)):
            came = f"a tensor of {given.dtype}" if isinstance(given, Tensor) else repr(given)
            raise ConfigError(
                f"the baseline of token ids is zero, mean, or a tensor of embeddings; got {came}, which may be a token "
                "or a value; give the embedding that you mean, of one token or of each"
            )
        if not isinstance(given, Tensor):
            return column.new_full((1,) * column.ndim, 0.0 if isinstance(given, str) else float(given))
        axes = column.ndim - given.ndim
        shaped = given.to(column)[(None,) * axes] if axes == 1 or (tokens and given.ndim == 1) else given.to(column)
        fits = shaped.ndim == column.ndim and len(shaped) == 1
        if not fits or any(
            have not in (1, want) for have, want in zip(shaped.shape[1:], column.shape[1:], strict=True)
        ):
            raise ShapeError(
                f"a baseline input has the shape of one example{' embedded' if tokens else ''}, "
                f"{tuple(column.shape[1:])}; got {tuple(given.shape)}{f' for {key!r}' if key else ''}; give such a "
                f"tensor, {'tensors by name, ' if several else ''}{'' if tokens else 'a number, '}'zero' or 'mean'"
            )
        return shaped


@contextmanager
def starting(model: nn.Module, loader: Iterable[Any], baselines: Baselines, batch: int) -> Iterator[Start]:
    """The start of paths of inputs; a `mean` is over the examples, of embeddings over unpadded tokens.

    While it lasts the network takes embeddings for token ids. Enter it before a Tape. Of a network that embeds anything
    the first examples are read once more.
    """
    with Words(model, loader) as words:
        yield Start(
            baselines, _means(loader, batch, words) if isinstance(baselines, str) and baselines == "mean" else {}, words
        )


def parts(inputs: Inputs) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The inputs that move along a path, and those that stay: they say where others are, or are ids of embeddings."""
    columns = inputs if isinstance(inputs, dict) else {"": inputs}
    still = {key: column for key, column in columns.items() if _stays(key)}
    return {key: column for key, column in columns.items() if key not in still}, still


def joined(moving: Mapping[str, Tensor], still: Mapping[str, Tensor]) -> Inputs:
    """The inputs of which these are the parts."""
    return moving[""] if "" in moving and not still else {**moving, **still}


def _stays(key: str) -> bool:
    return key in STILL or key.startswith(IDS)


def crossed(run: Callable[[Inputs], Tensor], module: nn.Module, inputs: Inputs) -> bool:
    """Whether every path from inputs to logits crosses a module: with its output cut off, no gradient is left."""

    def cut(module: nn.Module, arguments: Any, output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) and output else output
        return (first.detach(), *output[1:]) if isinstance(output, tuple) else first.detach()

    moving, still = parts(inputs)
    moving = {key: column.detach().requires_grad_() for key, column in moving.items()}
    handle = module.register_forward_hook(cut)
    try:
        logits = run(joined(moving, still))
    finally:
        handle.remove()
    if not logits.requires_grad:
        return True
    found = torch.autograd.grad(logits.sum(), list(moving.values()), allow_unused=True)
    return all(one is None for one in found)


def _means(loader: Iterable[Any], batch: int, words: Words) -> dict[str, Tensor]:
    check_rereadable(loader, "mean")
    sums: dict[str, Tensor] = {}
    counts: Counter[str] = Counter()
    for one in examples_in_batches(loader, batch, "mean input"):
        moving, still = parts(words.embedded(one.inputs))
        for key, column in moving.items():
            values = column[: one.count]
            if IDS + key not in still:
                check_finite(values.reshape(len(values), -1), key or "the input", one)
            else:
                kept = words.kept(still, key)
                tokens = values.flatten(0, -2) if kept is None else values[kept[: one.count]]
                values = tokens.reshape(-1, *[1] * (column.ndim - 2), column.shape[-1])
            add(sums, key, values.sum(dim=0, keepdim=True, dtype=torch.float64))
            counts[key] += len(values)
    return {key: (total / counts[key]).to(moving[key].dtype) for key, total in sums.items()}
