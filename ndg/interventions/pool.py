"""Sources of interchanges, held in memory or in files.

A layer that is read at its first token is held at that token alone, other token layers at all tokens.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from ndg.activations.batches import Batch, columns, compute_batches
from ndg.activations.sampling import Numbers, count, draw, only
from ndg.errors import DataError, ShapeError
from ndg.interventions.cache import BUDGET
from ndg.interventions.passes import BaselinePass, Passes
from ndg.progress import bar

Indices = Int64[np.ndarray, " row"]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Held:
    """Rows of a tensor as bytes, in shared memory or a file."""

    bytes: UInt8[np.ndarray, "row byte"]
    shape: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def empty(cls, rows: int, like: Tensor, folder: Path | None = None) -> Held:
        """Room for rows like those of a tensor."""
        size = like[0].nbytes
        if folder is None:
            return cls(np.empty((rows, size), np.uint8), tuple(like.shape[1:]), like.dtype)
        path = Path(tempfile.mkstemp(dir=folder)[1])
        room = np.memmap(path, np.uint8, "w+", shape=(rows, size))
        return cls(room, tuple(like.shape[1:]), like.dtype)

    def put(self, start: int, rows: Tensor) -> None:
        flat = rows.detach().cpu().contiguous().reshape(len(rows), -1)
        self.bytes[start : start + len(rows)] = flat.view(torch.uint8).numpy()

    @property
    def tensor(self) -> Tensor:
        """All rows, not copied."""
        return torch.from_numpy(self.bytes).view(self.dtype).reshape(len(self.bytes), *self.shape)

    def __getitem__(self, rows: Indices) -> Tensor:
        chosen = np.ascontiguousarray(self.bytes[rows])
        return torch.from_numpy(chosen).view(self.dtype).reshape(len(rows), *self.shape)


@dataclass(frozen=True, eq=False)
class Pool:
    """Outputs, booleans, labels and shapes of sources; of base i if `paired`."""

    outputs: dict[str, Held]
    bits: dict[str, Bool[np.ndarray, "source _"]]
    predicted: Int64[np.ndarray, " source"]
    shapes: Shapes
    on_disk: bool
    paired: bool = False
    _owner: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.predicted)

    def rows(self, layer: str, which: Indices, rows: int) -> Tensor:
        """Outputs of a layer on some sources, padded by the last one."""
        last = np.full(rows - len(which), which[-1], np.int64)
        return self.outputs[layer][np.concatenate([which, last])]


def gather(
    passes: Passes, loader: Iterable[Any], most: int | None, *, seed: int, batch: int, budget: int = BUDGET
) -> Pool:
    """At most `most` drawn examples (None: all, in pairs).

    DataError without any.
    """
    examples = count(loader)
    if not examples:
        raise DataError("an interchange needs at least one source; the loader gave none; check the split")
    if examples == 1 and most is not None:
        raise DataError(
            "a base takes neurons from another example; the loader gave 1 example; give more, or a base= and a source="
        )
    size = examples if most is None else min(most, examples)
    numbers: Numbers | None = None if size == examples else draw(seed, "pool", examples, size)
    sources = loader if numbers is None else only(loader, numbers)
    pool: Pool | None = None
    start = 0
    for known in bar(map(passes.baseline, compute_batches(sources, batch)), "sources", -(-size // batch)):
        pool = pool or _room(passes, known, size, most is None, budget)
        stop = start + known.batch.count
        for layer in passes.changed:
            pool.outputs[layer].put(start, _donated(known, layer)[: known.batch.count])
            pool.bits[layer][start:stop] = known.bits[layer]
        pool.predicted[start:stop] = known.predicted
        start = stop
    assert pool is not None
    assert start == size
    return pool


def check_alike(bases: Iterable[Any], sources: Iterable[Any]) -> None:
    """Raise ShapeError unless bases and sources have the same inputs."""
    expected, shapes = _first(sources), _first(bases)
    if expected != shapes:
        raise ShapeError(
            f"an interchange takes bases and sources of one shape; expected {_spelt(expected)}, the sources', got "
            f"{_spelt(shapes)}; pad or cut both alike"
        )


def shapes_of(batch: Batch) -> Shapes:
    """The shape of one example of each input."""
    columns = batch.inputs if isinstance(batch.inputs, dict) else {"inputs": batch.inputs}
    return {name: tuple(column.shape[1:]) for name, column in sorted(columns.items())}


def _first(loader: Iterable[Any]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and kind of numbers of each input of one example."""
    inputs = columns(next(iter(loader), torch.zeros(0)))
    return {
        name or "inputs": (tuple(column.shape[1:]), _kind(column))
        for name, column in sorted(inputs.items())
        if name != "labels"
    }


def _kind(column: Tensor) -> str:
    floating = column.is_floating_point() or column.is_complex()
    return "floats" if floating else "booleans" if column.dtype == torch.bool else "integers"


def _spelt(shapes: dict[str, tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{name}: {shape} of {kind}" for name, (shape, kind) in shapes.items())


def _donated(known: BaselinePass, layer: str) -> Tensor:
    """The output that a source gives, in broadcastable shape."""
    output, mask = known.outputs[layer], known.masks[layer]
    if not known.neurons[layer].at_first_token:
        return output
    first = 0 if mask is None else mask.int().argmax(dim=1).to(output.device)
    return output[torch.arange(len(output), device=output.device), first][:, None]


def _room(passes: Passes, known: BaselinePass, size: int, paired: bool, budget: int) -> Pool:
    donated = {layer: _donated(known, layer) for layer in passes.changed}
    folder, owner = None, []
    if sum(size * output[0].nbytes for output in donated.values()) > budget:
        folder = Path(tempfile.mkdtemp(prefix="ndg-pool-"))
        owner = [_Folder(folder)]
    return Pool(
        outputs={layer: Held.empty(size, output, folder) for layer, output in donated.items()},
        bits={layer: np.zeros((size, known.neurons[layer].units), np.bool_) for layer in passes.changed},
        predicted=np.zeros(size, np.int64),
        shapes=shapes_of(known.batch),
        on_disk=folder is not None,
        paired=paired,
        _owner=owner,
    )


class _Folder:
    """A temporary folder, removed by the process that made it."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)

    def __reduce__(self) -> tuple[type[_Folder], tuple[None]]:
        return _Folder, (None,)
