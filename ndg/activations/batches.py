"""Forward passes that depend on the example alone.

Float kernels differ in the last bit between batch shapes and thread counts. So every forward pass runs on a batch of
one fixed size, cut at multiples of that size in the example index, the last one padded, on a fixed number of threads. A
user's batch size, a shard or a worker only regroups those.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from itertools import chain
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ndg.activations.eager import eager
from ndg.cancellation import check_cancelled
from ndg.errors import ConfigError, DataError, LayerError, ShapeError
from ndg.progress import bar

COMPUTE_BATCH = 256

NUMBER = "\0number"
"""Key of the column, in batches of chosen examples, that says which example of the loader a row is."""

FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
WHOLE = frozenset({torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64})

Inputs = Tensor | dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples `start` to `start + count - 1`, padded.

    `numbers` of chosen ones.
    """

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


def by_name(inputs: Inputs) -> dict[str, Tensor]:
    """Columns of inputs, `""` for bare ones."""
    return inputs if isinstance(inputs, dict) else {"": inputs}


def bare(columns: dict[str, Tensor]) -> Inputs:
    """Inputs of these columns, the inverse of `by_name`."""
    return columns[""] if set(columns) == {""} else columns


def padded(rows: Tensor, size: int) -> Tensor:
    """Rows, the last one repeated up to a size."""
    missing = size - len(rows)
    return torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])]) if missing > 0 else rows


def compute_batches(loader: Iterable[Any], size: int = COMPUTE_BATCH, short: bool = False) -> Iterator[Batch]:
    """Examples of a loader in batches of exactly `size` rows.

    The last one is padded by its last example; with `short` fewer examples than one batch are not padded. The loader
    gives `(inputs, labels)`, inputs alone, or dictionaries of tensors in which `labels` is the true class. Every batch
    has the same shape per example: texts are padded to one length.
    """
    check_loader(loader)
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
                held = [(join([part for part, _ in held]), waiting)]
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
    logits = logits_of(output_of(model, inputs))
    if len(logits) != (rows := rows_of(inputs)):
        raise ShapeError(
            f"a network returns a row of logits for each example; got {len(logits)} rows for {rows} examples; wrap the "
            "network in a module that returns one row each"
        )
    return logits


def output_of(model: nn.Module, inputs: Inputs) -> Any:
    """Whatever a network returns for inputs, on its device."""
    device = device_of(model)
    if not isinstance(inputs, dict):
        return model(_moved(inputs, device))
    named = {key: _moved(column, device) for key, column in inputs.items()}
    try:
        return model(**named)
    except TypeError as error:
        _check_keys(model, inputs, error)
        raise


def _check_keys(model: nn.Module, inputs: dict[str, Tensor], error: TypeError) -> None:
    """Raise DataError for keys that the network's forward does not take."""
    parameters = inspect.signature(model.forward).parameters
    try:
        inspect.signature(model.forward).bind(**inputs)
    except TypeError as reason:
        raise DataError(
            "the keys of a batch are parameters of the network's forward, "
            f"{', '.join(parameters) or 'which has none'}; got {', '.join(map(str, inputs))} ({reason}); rename the "
            "keys, or give (inputs, labels)"
        ) from error


def _moved(inputs: Tensor, device: torch.device) -> Tensor:
    return inputs if inputs.device == device else inputs.to(device)


def logits_of(output: Any) -> Tensor:
    """Logits `[example, class]` of a tensor, an output or a tuple.

    Sparse logits become dense, whole numbers float64.
    """
    logits = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if logits is None:
        logits = output[0] if isinstance(output, tuple) and output else output
    if not isinstance(logits, Tensor) or logits.is_nested or logits.ndim != 2 or not logits.shape[1]:
        raise ShapeError(
            "a network returns logits of shape (example, class), or an output with such `.logits`; got "
            f"{describe_output(logits)}; "
            "wrap the network in a module that returns its logits, or extract with labels=False for a graph of its "
            "neurons alone"
        )
    logits = logits if logits.layout is torch.strided else logits.to_dense()
    if logits.dtype in FLOATS and not logits.is_meta:
        return logits
    if logits.dtype not in WHOLE or logits.is_meta:
        raise ShapeError(
            f"logits are real numbers, of a floating-point type; got {'values on the meta device' * logits.is_meta}"
            f"{'' if logits.is_meta else logits.dtype}; wrap the network in a module that returns real logits, such as "
            "output.float() or output.abs()"
        )
    return logits.double()


def describe_output(output: Any) -> str:
    """What a module returned, in words: shapes of tensors, names and elements of containers."""
    if isinstance(output, Tensor):
        return "a nested tensor" if output.is_nested else f"{tuple(output.shape)}"
    if is_dataclass(output) and not isinstance(output, (type, Mapping)):
        output = {field.name: getattr(output, field.name) for field in fields(output)}
    if isinstance(output, Mapping):
        parts = [f"{key} {describe_output(part)}" for key, part in output.items()]
        return f"a dictionary of {', '.join(parts) or 'nothing'}"
    if isinstance(output, (list, tuple)):
        names = getattr(output, "_fields", [""] * len(output))
        parts = [f"{name} {describe_output(part)}".strip() for name, part in zip(names, output, strict=True)]
        return f"a {type(output).__name__} of {', '.join(parts) or 'nothing'}"
    return type(output).__name__


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
        with torch.set_grad_enabled(grad), eager():
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


def check_values(model: nn.Module) -> None:
    """Raise ConfigError for a network that was moved to the meta device."""
    if device_of(model).type == "meta":
        raise ConfigError(
            "a network runs on a device that has values; got 'meta', which holds shapes alone; leave device out for "
            "where the network is"
        )


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


def check_loader(loader: Any) -> None:
    """Raise DataError for what is one batch, a path or no loader at all."""
    pair = (
        isinstance(loader, tuple) and len(loader) == 2 and all(isinstance(part, Tensor | np.ndarray) for part in loader)
    )
    apart = pair and loader[0].shape[1:] != loader[1].shape[1:]  # two tensors of one shape may be two batches
    if apart or isinstance(loader, (Tensor, np.ndarray, Mapping, str, bytes, PathLike)) or not _iterable(loader):
        came = f"{type(loader).__name__} {loader!r}" if isinstance(loader, (str, PathLike)) else type(loader).__name__
        raise DataError(
            "a loader is a DataLoader or a list of batches, such as [(inputs, labels)]; got "
            f"{'a tuple of two tensors' if apart else came}; "
            + (
                "put one batch in a list"
                if apart or isinstance(loader, (Tensor, Mapping))
                else "read the examples into tensors first, and pass [(inputs, labels)]"
            )
        )


def _iterable(loader: Any) -> bool:
    return hasattr(loader, "__iter__") or hasattr(loader, "__getitem__")


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
    masked = next((key or "inputs" for key, part in tensors.items() if np.ma.is_masked(part)), None)
    if masked is not None:
        raise DataError(
            f"values of a batch are all known; {masked} are a masked array, whose mask would be lost; give its "
            "array.filled(0), or leave out the examples with masked values"
        )
    tensors = {key: _from_numpy(part) if _numbers(part) else part for key, part in tensors.items()}
    if not tensors or not all(isinstance(column, Tensor) and column.ndim for column in tensors.values()):
        came = ", ".join(f"{key or 'inputs'}: {_spelt(column)}" for key, column in tensors.items())
        raise DataError(
            "a loader gives (inputs, labels), inputs, or dictionaries of tensors whose first axis is the example; "
            f"got {type(batch).__name__} ({came}); make tensors of arrays, and batches of examples by a DataLoader"
        )
    for key, column in tensors.items():
        _check_dense(key or "inputs", column)
    lengths = {key or "inputs": len(column) for key, column in tensors.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"the tensors of one batch have one row per example; got {lengths}")
    first, second = tensors.get(""), tensors.get("labels")
    if first is not None and second is not None and first.ndim == 1 and second.ndim > 1 and second.is_floating_point():
        shapes = f"{first.dtype} {tuple(first.shape)} before {second.dtype} {tuple(second.shape)}"
        raise DataError(f"a batch is (inputs, labels); got {shapes}, the labels first; exchange them")
    return tensors


def _from_numpy(values: np.ndarray) -> Tensor:
    """A tensor of an array of any byte order, strides or width."""
    kind = values.dtype.newbyteorder("=") if values.dtype.itemsize <= 8 else np.dtype(np.float64)
    return torch.as_tensor(np.ascontiguousarray(values, kind))


def _check_dense(name: str, column: Tensor) -> None:
    """Raise DataError for a tensor whose rows cannot be chosen."""
    kinds = {
        "on the meta device, without values": (column.is_meta, "tensors with values, such as tensor.to('cpu')"),
        "nested": (column.is_nested, f"{name}.to_padded_tensor(0.0)"),
        "sparse": (column.layout is not torch.strided, f"{name}.to_dense()"),
        "quantised": (column.is_quantized, f"{name}.dequantize()"),
    }
    for kind, (true, advice) in kinds.items():
        if true:
            raise DataError(f"the tensors of a batch are dense and have values; {name} are {kind}; give {advice}")


def _numbers(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 0 and value.dtype.kind in "biufc"


def _spelt(value: Any) -> str:
    return "tensor without axes" if isinstance(value, Tensor) and not value.ndim else type(value).__name__


def join(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Columns of several batches, one after the other."""
    try:
        return {key: torch.cat([part[key] for part in parts]) for key in (parts[0] if parts else ())}
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
        columns = {key: padded(column, size) for key, column in columns.items()}
    return Batch(start, count, bare(columns), labels, numbers)
