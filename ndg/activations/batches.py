"""Forward passes that depend on the example alone.

Float kernels differ in the last bit between batch shapes and thread counts. So every forward pass runs on a batch of
one fixed size, cut at multiples of that size in the example index, the last one padded, on a fixed number of threads. A
user's batch size, a shard or a worker only regroups those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from ndg.cancellation import check_cancelled
from ndg.errors import ConfigError, DataError, LayerError, ShapeError
from ndg.progress import bar

COMPUTE_BATCH = 256

NUMBER = "\0number"
"""Key of the column, in batches of chosen examples, that says which example of the loader a row is."""

Inputs = Tensor | dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples `start` to `start + count - 1`, padded; `numbers` of chosen ones."""

    start: int
    count: int
    inputs: Inputs
    labels: Tensor | None
    numbers: Tensor | None = None

    @property
    def rows(self) -> int:
        """Number of rows of the inputs, padding included."""
        return rows_of(self.inputs)

    def number(self, row: int) -> int:
        """Which example of the loader a row is."""
        return self.start + row if self.numbers is None else int(self.numbers[row])


def rows_of(inputs: Inputs) -> int:
    """Number of rows of inputs."""
    return len(next(iter(inputs.values())) if isinstance(inputs, dict) else inputs)


def pick(inputs: Inputs, rows: Tensor | None) -> Inputs:
    """These rows of inputs, all of them for None."""
    if rows is None:
        return inputs
    if isinstance(inputs, dict):
        return {key: column.index_select(0, rows.to(column.device)) for key, column in inputs.items()}
    return inputs.index_select(0, rows.to(inputs.device))


def compute_batches(loader: Iterable[Any], size: int = COMPUTE_BATCH, short: bool = False) -> Iterator[Batch]:
    """Examples of a loader in batches of exactly `size` rows.

    The last one is padded by its last example; with `short` fewer examples than one batch are not padded. The loader
    gives `(inputs, labels)`, inputs alone, or dictionaries of tensors in which `labels` is the true class. Every batch
    has the same shape per example: texts are padded to one length.
    """
    if size < 1:
        raise ConfigError(f"a compute batch has at least 1 example; got {size}")
    held: list[tuple[dict[str, Tensor], int]] = []
    waiting = start = 0
    for tensors in chain(map(columns, loader), [None]):
        if tensors is not None:
            rows = len(next(iter(tensors.values())))
            held.append((tensors, rows))
            waiting += rows
        while waiting >= size or (tensors is None and waiting):
            if len(held) > 1:
                held = [(_join([part for part, _ in held]), waiting)]
            whole = held[0][0]
            count = min(size, waiting)
            rows = count if short and not start else size
            yield _batch({key: column[:count] for key, column in whole.items()}, start, count, rows)
            start, waiting = start + count, waiting - count
            held = [({key: column[count:] for key, column in whole.items()}, waiting)] if waiting else []


def examples_in_batches(loader: Iterable[Any], size: int, label: str) -> Iterator[Batch]:
    """Compute batches with a progress bar; DataError without any."""
    none = True
    for batch in bar(compute_batches(loader, size, short=True), label):
        none = False
        yield batch
    if none:
        raise no_examples()


def no_examples() -> DataError:
    """The error of an empty loader."""
    return DataError("at least one example is needed; the loader gave none; check the split")


def forward(model: nn.Module, inputs: Inputs) -> Tensor:
    """Logits `[example, class]` of a network, on the network's device."""
    return logits_of(output_of(model, inputs))


def output_of(model: nn.Module, inputs: Inputs) -> Any:
    """Whatever a network returns for inputs, on its device."""
    device = device_of(model)
    if isinstance(inputs, dict):
        return model(**{key: column.to(device) for key, column in inputs.items()})
    return model(inputs.to(device))


def logits_of(output: Any) -> Tensor:
    """Logits `[example, class]` of a tensor, tuple or Hugging Face output."""
    if isinstance(output, Mapping):
        output = output.get("logits")
    elif isinstance(output, tuple):
        output = output[0]
    elif not isinstance(output, Tensor):
        output = getattr(output, "logits", None)
    if not isinstance(output, Tensor) or output.ndim != 2:
        came = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ShapeError(
            f"a network returns logits of shape (example, class), or an output with such `.logits`; got {came}; "
            "wrap the network in a module that returns its logits, or extract with labels=False for a graph of its "
            "neurons alone"
        )
    return output


@contextmanager
def fixed(
    model: nn.Module, threads: int = 1, grad: bool = False, modules: Sequence[nn.Module] | None = None
) -> Iterator[nn.Module]:
    """The network in evaluation mode, on a fixed number of threads.

    All is restored after. `modules` are its own, where they are known already.
    """
    check_cancelled()
    training = [module for module in (model.modules() if modules is None else modules) if module.training]
    before = torch.get_num_threads()
    if before != threads:  # torch has one number for all Python threads: those that run at once ask for the same
        torch.set_num_threads(threads)
    try:
        if training:
            model.eval()
        with torch.set_grad_enabled(grad):
            yield model
    finally:
        if before != threads:
            torch.set_num_threads(before)
        for module in training:
            module.training = True


def device_of(model: nn.Module) -> torch.device:
    """Device of a network's parameters; the CPU without any."""
    first = next(chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def check_finite(values: Tensor, where: str, batch: Batch) -> None:
    """Raise LayerError for NaN in `[row, unit, ...]` of a batch."""
    broken = nan(values)
    if broken is not None:
        raise not_a_number(where, broken[1], batch.number(broken[0]))


def nan(values: Tensor) -> tuple[int, int] | None:
    """Row and unit of the first NaN, None without any."""
    if not torch.isnan(values.sum()):  # a sum with NaN is NaN, and allocates nothing
        return None
    broken = torch.isnan(values)
    row, unit, *_ = broken.nonzero()[0].tolist() if broken.any() else (-1, -1)  # infinities of both signs
    return None if row < 0 else (row, unit)


def not_a_number(where: str, unit: int, example: int) -> LayerError:
    """The error of an activation that is NaN."""
    return LayerError(
        f"activations must be numbers; unit {unit} of {where!r} is NaN at example {example}; "
        "check the checkpoint and the inputs (a diverged training gives NaN weights)"
    )


def true_labels(labels: Tensor, count: int, classes: int) -> Tensor:
    """True classes of `count` examples on the CPU, or DataError."""
    true = labels.cpu()
    whole = not (true.is_floating_point() or true.is_complex() or true.dtype == torch.bool)
    if not whole or true.shape != (count,) or true.min() < 0 or true.max() >= classes:
        came = f"{true.dtype} of shape {tuple(true.shape)}"
        ends = f" with values {true.min().item()} to {true.max().item()}" if true.numel() and whole else ""
        raise DataError(
            f"true labels are one class from 0 to {classes - 1} per example; got {came}{ends}; "
            "check the data's classes against the network's"
            + ("; a network of one logit is wrapped so that it gives two, 0 and the logit" if classes == 1 else "")
        )
    return true


def columns(batch: Any) -> dict[str, Tensor]:
    """Tensors of a loader's batch by name, `""` for bare inputs."""
    if isinstance(batch, Mapping):
        tensors = dict(batch)
    elif isinstance(batch, (tuple, list)) and len(batch) == 2:
        inputs, labels = batch
        tensors = {**inputs, "labels": labels} if isinstance(inputs, Mapping) else {"": inputs, "labels": labels}
    elif isinstance(batch, (tuple, list)) and len(batch) == 1:
        tensors = {"": batch[0]}
    else:
        tensors = {"": batch}
    if not tensors or not all(isinstance(column, Tensor) and column.ndim for column in tensors.values()):
        came = ", ".join(f"{key or 'inputs'}: {_spelt(column)}" for key, column in tensors.items())
        raise DataError(
            "a loader gives (inputs, labels), inputs, or dictionaries of tensors whose first axis is the example; "
            f"got {type(batch).__name__} ({came}); make tensors of arrays, and batches of examples by a DataLoader"
        )
    lengths = {key or "inputs": len(column) for key, column in tensors.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"the tensors of one batch have one row per example; got {lengths}")
    return tensors


def _spelt(value: Any) -> str:
    return "tensor without axes" if isinstance(value, Tensor) and not value.ndim else type(value).__name__


def _join(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    try:
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    except (KeyError, RuntimeError) as error:
        shapes = [{key or "inputs": tuple(column.shape[1:]) for key, column in part.items()} for part in parts]
        raise ShapeError(
            f"all batches of a loader have the same tensors and the same shape per example; got {shapes}; "
            "pad to one length in the collate function, as DataCollatorWithPadding(tokenizer, padding='max_length', "
            "max_length=N) of transformers does (floats depend in the last bit on the padded length, so it is one)"
        ) from error


def _batch(columns: dict[str, Tensor], start: int, count: int, size: int) -> Batch:
    labels, numbers = columns.pop("labels", None), columns.pop(NUMBER, None)
    labels = None if labels is None else labels.clone()
    if count == size:  # a view may lie anywhere in memory, which kernels can tell; a copy begins at an aligned address
        columns = {key: column.clone() for key, column in columns.items()}
    else:
        columns = {
            key: torch.cat([column, column[-1:].expand(size - count, *column.shape[1:])])
            for key, column in columns.items()
        }
    inputs: Inputs = columns[""] if set(columns) == {""} else columns
    return Batch(start, count, inputs, labels, numbers)
