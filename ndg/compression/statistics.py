"""What the layers behind some units read: rows of activations, and their covariance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ndg import seeds
from ndg.activations.batches import Batch, examples_in_batches, fixed, output_of
from ndg.activations.sampling import count
from ndg.compression.groups import Group, Part
from ndg.compression.obs import Reader
from ndg.errors import LayerError
from ndg.options import RunOptions

ROWS = 40_000
"""Rows of activations of one reader: of a convolution or of tokens, some positions are drawn for each example."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Slot:
    """One reader of a group.

    `pooled`: a dense layer that reads all positions of channels.
    """

    group: str
    part: Part
    pooled: bool
    recurrent: bool = False


def slots(model: nn.Module, groups: Mapping[str, Group]) -> list[Slot]:
    """Readers of groups; recurrent weights read their own layer's units."""
    result = []
    for name, group in groups.items():
        for part in group.readers:
            dense = isinstance(model.get_submodule(part.path), nn.Linear)
            result.append(Slot(name, part, dense and group.kind == "channel" and part.width > 1))
        if group.kind == "hidden unit":
            maker = group.makers[0]
            recurrent: Any = model.get_submodule(maker.path)
            directions = 2 if recurrent.bidirectional else 1
            index = np.arange(group.units)[:, None] + group.units * np.arange(directions)
            result.append(Slot(name, Part(maker.path, index), pooled=False, recurrent=True))
    return result


def outgoing(module: Any, slot: Slot) -> Float[np.ndarray, "activation output"]:
    """Weights by which a reader reads the units, one row per activation."""
    index = torch.from_numpy(slot.part.index)
    if isinstance(module, nn.RNNBase):
        names = [
            name
            for name, _ in module.named_parameters()
            if name.startswith("weight_hh" if slot.recurrent else "weight_ih")
        ]
        weights = [getattr(module, name).detach().double().cpu() for name in names]
        if not slot.recurrent:
            return torch.cat(weights)[:, index.flatten()].T.numpy()
        blocks = torch.stack([weight.T for weight in weights])  # direction, unit, gate
        spread = torch.zeros(len(index), len(weights), len(weights) * blocks.shape[2], dtype=torch.float64)
        for number, block in enumerate(blocks):
            spread[:, number, number * blocks.shape[2] : (number + 1) * blocks.shape[2]] = block
        return spread.flatten(0, 1).numpy()
    weight = module.weight.detach().double().cpu()
    chosen = weight[:, index.flatten()]  # output, unit * entry, kernel...
    if slot.pooled:
        return chosen.unflatten(1, tuple(index.shape)).permute(1, 0, 2).flatten(1).numpy()
    return chosen.flatten(2).permute(1, 2, 0).flatten(0, 1).numpy() if weight.ndim > 2 else chosen.T.numpy()


def rows(module: Any, slot: Slot, value: Tensor, places: Places) -> Float[Tensor, "row position activation"]:
    """Activations that a reader reads, at drawn positions.

    `position` has one entry but for pooled readers.
    """
    index = torch.from_numpy(slot.part.index).to(value.device)
    if isinstance(module, CONVOLUTIONS):
        found = patches(module, value, places)  # row, channel, kernel
        return found[:, index.flatten()].flatten(1)[:, None]
    value = value.flatten(0, -2)
    if slot.pooled:
        return value[:, index.flatten()].unflatten(1, tuple(index.shape)).transpose(1, 2)
    picked = places(value.shape[0])
    return (value if picked is None else value[picked])[:, None, index.flatten()]


Places = Callable[[int], Tensor | None]
"""Drawn rows of so many, None for all."""


def patches(module: Any, value: Tensor, places: Places) -> Float[Tensor, "row channel kernel"]:
    """Patches that a convolution reads, at drawn positions of all examples."""
    axes = value.ndim - 2
    kernel, stride, dilation = (tuple(getattr(module, name)) for name in ("kernel_size", "stride", "dilation"))
    padding = [side for pair in reversed(_padding(module)) for side in pair]
    mode = module.padding_mode
    value = nn.functional.pad(value, padding, mode="constant" if mode == "zeros" else str(mode))
    sizes = [
        (value.shape[2 + axis] - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1 for axis in range(axes)
    ]
    total = len(value) * int(np.prod(sizes))
    picked = places(total)
    numbers = torch.arange(total, device=value.device) if picked is None else picked
    corners = list(torch.unravel_index(numbers, (len(value), *sizes)))
    within = torch.meshgrid(
        *(torch.arange(size) * step for size, step in zip(kernel, dilation, strict=True)), indexing="ij"
    )
    steps = [part.flatten().to(value.device) for part in within]
    at = [corners[1 + axis][:, None] * stride[axis] + steps[axis] for axis in range(axes)]
    found = value.movedim(1, -1)[(corners[0][:, None], *at)]  # row, kernel, channel
    return found.transpose(1, 2)


def _padding(module: Any) -> list[tuple[int, int]]:
    """Numbers before and after each axis."""
    if module.padding == "valid":
        return [(0, 0) for _ in module.kernel_size]
    if module.padding == "same":
        spans = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        return [(span // 2, span - span // 2) for span in spans]
    return [(side, side) for side in module.padding]


@dataclass(eq=False)
class Moments:
    """Rows of activations of one reader: how many, the mean at each position, squares about it summed."""

    rows: int
    means: Float[Tensor, "position activation"]
    squares: Float[Tensor, "activation activation"]

    @classmethod
    def of(cls, values: Float[Tensor, "row position activation"]) -> Moments:
        means = values.mean(0, dtype=torch.float64)
        centred = (values - means.to(values.dtype)).flatten(0, 1)
        if centred.shape[0] * centred.shape[1] ** 2 <= EXACT:
            centred = centred.double()
        return cls(len(values), means, (centred.T @ centred).double())

    def __add__(self, other: Moments) -> Moments:
        total, apart = self.rows + other.rows, other.means - self.means
        between = apart.T @ apart * (self.rows * other.rows / total)
        means = self.means + apart * (other.rows / total)
        return Moments(total, means, self.squares + other.squares + between)

    @property
    def positions(self) -> int:
        return len(self.means)

    def covariance(self) -> Float[np.ndarray, "activation activation"]:
        """Covariance within positions, the mean over them."""
        return (self.squares / max(self.rows * self.positions, 1)).cpu().numpy()


EXACT = 2_000_000_000
"""Products of one batch up to which they are summed in double precision."""


def readers(
    model: nn.Module, loader: Iterable[Any], groups: Mapping[str, Group], options: RunOptions, most: int = ROWS
) -> tuple[dict[str, list[Reader]], dict[str, int]]:
    """The readers of each group and the rows behind them, from one pass over the examples.

    Raises DataError without examples, LayerError where activations are not numbers.
    """
    wanted = slots(model, groups)
    sums: dict[int, Moments] = {}
    examples = count(loader)
    with fixed(model, options.threads):
        for batch in examples_in_batches(loader, options.batch, "covariances"):
            places = drawn(batch, examples, most, options.seed)
            with inputs_of(model, [(slot.part.path, slot.recurrent) for slot in wanted]) as seen:
                output_of(model, batch.inputs)
            for number, slot in enumerate(wanted):
                value = seen[slot.part.path, slot.recurrent][: batch.count]
                moments = Moments.of(rows(model.get_submodule(slot.part.path), slot, value, places))
                sums[number] = sums[number] + moments if number in sums else moments
    result: dict[str, list[Reader]] = {name: [] for name in groups}
    counted: dict[str, int] = {}
    for number, slot in enumerate(wanted):
        weights = outgoing(model.get_submodule(slot.part.path), slot)
        covariance, mean = sums[number].covariance(), sums[number].means.cpu().numpy()
        if not (np.isfinite(covariance).all() and np.isfinite(weights).all()):
            raise LayerError(
                f"weights and activations must be finite; those that {slot.part.path!r} reads, or its weights, are "
                "not; look for NaN or infinity in the weights and inputs"
            )
        result[slot.group].append(Reader(covariance, weights, len(covariance) // len(slot.part.index), mean))
        own = sums[number].rows * sums[number].positions
        counted[slot.group] = min(own, counted.get(slot.group, own))
    return result, counted


def drawn(batch: Batch, examples: int, most: int, seed: int) -> Places:
    """Positions of one batch, so that all examples together have about `most`."""

    def places(total: int) -> Tensor | None:
        wanted = max(1, round(most * batch.count / examples))
        if wanted >= total:
            return None
        chosen = seeds.generator(seed, "positions", batch.start).choice(total, wanted, replace=False)
        return torch.from_numpy(np.sort(chosen))

    return places


@contextmanager
def inputs_of(model: nn.Module, paths: Iterable[tuple[str, bool]]) -> Iterator[dict[tuple[str, bool], Tensor]]:
    """The tensors that modules read in the next pass.

    Of `(path, True)` the hidden states that it returns.
    """
    seen: dict[tuple[str, bool], Tensor] = {}
    handles = []

    def before(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            seen[path, False] = arguments[0] if arguments else next(iter(keywords.values()))

        return hook

    def after(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            seen[path, True] = output[0]

        return hook

    for path, own in set(paths):
        module = model.get_submodule(path)
        if own:
            handles.append(module.register_forward_hook(after(path)))
        else:
            handles.append(module.register_forward_pre_hook(before(path), with_kwargs=True))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
