"""A cheap probe of a network: five passes, once per state of it.

It refuses networks whose outputs depend on chance or on the other rows of a batch, layers whose first axis is not the
example, and inputs that the network does not take; it warns about buffers that a forward pass changes. The network, its
buffers and the random state are left as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from itertools import chain, islice
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ndg.activations.batches import (
    COMPUTE_BATCH,
    Batch,
    Inputs,
    by_name,
    check_loader,
    check_values,
    columns,
    compute_batches,
    device_of,
    fixed,
    output_of,
    pick,
)
from ndg.errors import DataError, LayerError, NDGError
from ndg.module_state import module_state
from ndg.progress import log

ROWS = 8
"""Examples of the first passes, spread over the compute batch; the third has half of them."""

SAMPLE = 1024
"""Values per example of an output that are compared in passes of a whole compute batch."""

MOST_STATES = 1000
"""States and layers of a network that are remembered."""

CLOSE = 1e-3
"""Relative difference of outputs that rounding explains; times 30 in half precision."""

STANDARD = nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention
"""Modules whose first tensor is their output by convention; the others are states and weights."""

Outputs = dict[str, list[Tensor]]
"""Tensors that a module returned, by its path; "" is the network."""

_probed: WeakKeyDictionary[nn.Module, dict[Any, int]] = WeakKeyDictionary()
"""Rows of the largest batch by state, kind of input and layer."""
_changing: WeakKeyDictionary[nn.Module, set[Any]] = WeakKeyDictionary()
"""Attributes that a forward pass changes, such as a counter."""


def probe_loader(
    model: nn.Module, loader: Iterable[Any], layers: Iterable[str], threads: int, size: int = COMPUTE_BATCH
) -> Iterable[Any]:
    """Probe a network with a loader's first batch; return the whole loader."""
    check_loader(loader)
    first = loader
    if iter(loader) is loader:
        first = []
        while sum(len(next(iter(columns(batch).values()))) for batch in first) < size:
            if not (following := list(islice(loader, 1))):
                break
            first += following
        loader = chain(first, loader)
    with _random_state(model):
        for batch in islice(compute_batches(first, size, short=True), 1):
            probe(model, batch, layers, threads)
    return loader


def probe(model: nn.Module, batch: Batch, layers: Iterable[str], threads: int) -> None:
    """Raise LayerError or DataError for a network that cannot be measured example by example."""
    check_values(model)
    layers = [path for path in layers if path in dict(model.named_modules())]
    kind = tuple((name, column.dtype, column.shape[1:]) for name, column in by_name(batch.inputs).items())
    known, changing = _probed.setdefault(model, {}), _changing.setdefault(model, set())
    state = module_state(model)
    keys = _keys(state, changing, kind, layers)
    if all(known.get(key, 0) >= batch.rows for key in keys):
        return
    with _random_state(model), _buffers(model) as changed, fixed(model, threads):
        _passes(model, batch, layers, changed)
    after = module_state(model)
    changing |= {name for name in state.keys() | after.keys() if state.get(name) != after.get(name)}
    if len(known) > MOST_STATES:
        known.clear()
    known |= dict.fromkeys(_keys(after, changing, kind, layers), batch.rows)


def _keys(state: dict[Any, Any], changing: set[Any], kind: Any, layers: list[str]) -> list[Any]:
    lasting = tuple(item for item in state.items() if item[0] not in changing)
    return [(lasting, kind, layer) for layer in ["", *layers]]


def _passes(model: nn.Module, batch: Batch, layers: list[str], changed: Callable[[], str | None]) -> None:
    rows = torch.linspace(0, batch.count - 1, min(batch.count, ROWS)).round().long()
    quiet = _quiet(batch.inputs, rows)
    paths = ["", *layers]

    def run(some: Tensor, paths: Iterable[str] = paths) -> Outputs:
        return _outputs(model, pick(batch.inputs, some), paths, SAMPLE if len(some) > ROWS else None)

    try:
        first = _outputs(model, pick(batch.inputs, rows), paths, warn=True)
    except NDGError:
        raise
    except Exception as error:
        _refuse_dtype(model, batch.inputs, error)
        with taking(model, batch.inputs), torch.enable_grad():
            output_of(model, batch.inputs)
        _not_probed(model, len(rows), error)
        return  # the network takes no small batches
    for outputs in first.values():
        if any(part.is_meta for part in outputs):
            raise LayerError(
                f"outputs of a network have values; some of {type(model).__name__} are on the meta device, which holds "
                "shapes alone; load the weights first, and compute on a device that has values"
            )
    buffer = changed()
    again = run(rows)
    if any(_differ(first[path], again[path], rows, rows) for path in paths):
        cause = f"it changes its buffer {buffer!r}" if buffer else "it draws random numbers"
        raise LayerError(
            f"a network gives the same outputs for the same inputs in evaluation mode; {type(model).__name__} gives "
            f"others in a second pass, first at {_culprit(model, run, rows, rows)}: {cause}; switch that off in "
            "evaluation mode, such as dropout(x, p, training=self.training), and whatever counts the passes"
        )
    if buffer is not None:
        log.warning(
            "a forward pass changes no buffer; %s changes %r: its digest changes too, so that a graph of it is of "
            "another network (any_network=True allows that); update buffers in training mode alone",
            type(model).__name__,
            buffer,
        )
    for path in layers:
        if len(first[path]) > 1 and not isinstance(model.get_submodule(path), STANDARD):
            log.warning(
                "a layer is read at its first tensor; %r returns %d, of shapes %s; name a module inside it for others",
                path,
                len(first[path]),
                ", ".join(str(tuple(part.shape)) for part in first[path]),
            )
    try:
        alone = run(quiet)
    except Exception as error:
        _not_probed(model, len(quiet), error)
        return
    logits = first[""]
    for path in layers + [""] * (len(logits) == 1 and logits[0].ndim == 2):
        sizes = [outputs[path][0].shape[:1] for outputs in (first, alone) if outputs[path]]
        if len(sizes) == 2 and sizes[0] == sizes[1]:
            shapes = [tuple(outputs[path][0].shape) for outputs in (first, alone)]
            raise LayerError(
                f"the first axis of a layer is the example; {path or type(model).__name__!r} gives {shapes[0]} for "
                f"{len(rows)} examples and {shapes[1]} for {len(quiet)}, so its first axis is another, such as time "
                "steps; build it with batch_first=True, or choose a layer whose first axis is the example"
            )
    _check_companions(model, run, paths, first, alone, rows, quiet)
    if batch.rows > ROWS:
        every = torch.arange(batch.rows)
        others = _quiet(batch.inputs, every[: batch.count]).flip(0).repeat(batch.rows)[: batch.rows]
        _check_companions(model, run, paths, run(every), run(others), every, others)


def _check_companions(
    model: nn.Module,
    run: Callable[..., Outputs],
    paths: list[str],
    first: Outputs,
    second: Outputs,
    rows: Tensor,
    some: Tensor,
) -> None:
    """Raise LayerError if outputs of `some` among other rows differ from those among `rows`."""
    if len(rows) > 1 and any(_differ(first[path], second[path], rows, some) for path in paths):
        raise LayerError(
            f"the outputs of an example depend on that example alone; those of {type(model).__name__} depend on the "
            f"other rows of the batch, first at {_culprit(model, run, rows, some)}; use statistics that are stored "
            "(BatchNorm with track_running_stats=True, quantisation with fixed scales), experts without a common "
            "capacity, and batch_first=True in recurrent and attention layers"
        )


@contextmanager
def taking(model: nn.Module, inputs: Inputs) -> Iterator[None]:
    """Turn errors on wrong inputs into DataError with their shapes."""
    try:
        yield
    except (NDGError, torch.OutOfMemoryError):
        raise
    except (
        RuntimeError,
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        AssertionError,
        ArithmeticError,
    ) as error:
        shapes = {name or "inputs": tuple(column.shape) for name, column in by_name(inputs).items()}
        raise DataError(
            f"a network takes what its loader gives; {type(model).__name__} given {shapes} raised "
            f"{type(error).__name__}: {str(error).strip() or 'no message'}; call network(inputs) with one batch of the "
            "loader to see where"
        ) from error


def _not_probed(model: nn.Module, rows: int, error: Exception) -> None:
    """Say that a network was not probed, and why."""
    log.warning("%s was not probed in full: it took no batch of %d examples (%s)", type(model).__name__, rows, error)


def _outputs(
    model: nn.Module, inputs: Inputs, paths: Iterable[str], most: int | None = None, warn: bool = False
) -> Outputs:
    """Outputs of the network and of each module's first use, in order.

    With `most`, only about so many values of each example. With `warn`, say which of several tables are the logits.
    """
    modules = dict(model.named_modules())
    seen: Outputs = {}

    def see(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            seen.setdefault(path, [_kept(part, most) for part in _tensors(output)])

        return hook

    handles = [
        modules[path].register_forward_hook(see(path))
        for path in paths
        if path and not isinstance(modules[path], torch.jit.ScriptModule)
    ]
    try:
        output = output_of(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    whole = _tensors(output)
    if warn:
        _warn_of_tables(model, output)
    seen[""] = [_kept(part, most) for part in whole]
    return seen | {path: [] for path in paths if path not in seen}


def _warn_of_tables(model: nn.Module, output: Any) -> None:
    """Say that the first of several tables of a tuple is taken for the logits."""
    parts = output if isinstance(output, tuple) and getattr(output, "logits", None) is None else ()
    tables = [tuple(part.shape) for part in parts if isinstance(part, Tensor) and part.ndim == 2]
    if len(tables) > 1 and isinstance(parts[0], Tensor) and parts[0].ndim == 2:
        log.warning(
            "the logits are the first tensor of a tuple; %s returns several that could be, of shapes %s; wrap it in a "
            "module that returns its logits, if they are another",
            type(model).__name__,
            ", ".join(map(str, tables)),
        )


def _kept(part: Tensor, most: int | None) -> Tensor:
    """A copy of an output, or of values spread over each row."""
    part = part.detach()
    if most is not None and part.ndim > 1:
        part = part.flatten(1)
        part = part[:, :: max(part.shape[1] // most, 1)]
    return part.clone()


def _tensors(output: Any) -> list[Tensor]:
    """All dense tensors of an output, in order.

    Nested and quantised ones are not compared.
    """
    if isinstance(output, Tensor) and (output.is_nested or output.is_quantized):
        return []
    if isinstance(output, Tensor):
        return [output] if output.layout is torch.strided else [output.to_dense()]
    if is_dataclass(output) and not isinstance(output, (type, dict)):
        output = [getattr(output, field.name) for field in fields(output)]
    parts = list(output.values()) if isinstance(output, dict) else output if isinstance(output, (list, tuple)) else []
    return [tensor for part in parts for tensor in _tensors(part)]


def _differ(first: list[Tensor], second: list[Tensor], rows: Tensor, some: Tensor) -> bool:
    """Whether outputs of `some` differ between passes of `rows` and `some`."""
    places = (rows == some[:, None]).int().argmax(dim=1)
    for one, other in zip(first, second, strict=False):
        if one.shape[:1] != (len(rows),) or other.shape[:1] != (len(some),) or one.shape[1:] != other.shape[1:]:
            continue
        wide = torch.complex128 if one.is_complex() else torch.float64
        one = one[places.to(one.device)].to(wide)
        scale = one.nan_to_num(0, 0, 0).abs().amax() if one.numel() else 0
        close = CLOSE * (30 if other.dtype in (torch.float16, torch.bfloat16) else 1)
        if not torch.allclose(one, other.to(wide), rtol=close, atol=float(close * scale), equal_nan=True):
            return True
    return False


def _culprit(model: nn.Module, run: Callable[..., Outputs], rows: Tensor, some: Tensor) -> str:
    """The first module without parts whose outputs differ, in the order of the network."""
    leaves = [path for path, module in model.named_modules() if path and next(module.children(), None) is None]
    first, second = run(rows, leaves), run(some, leaves)
    path = next((path for path in first if _differ(first[path], second[path], rows, some)), "")
    return "its output" if not path else f"{path!r} ({type(model.get_submodule(path)).__name__})"


def _quiet(inputs: Inputs, rows: Tensor) -> Tensor:
    """The half of the rows with the smallest values, two at least."""
    column = next(iter(by_name(inputs).values()))
    column = column[rows.to(column.device)]
    sizes = (
        (column.abs() if column.is_complex() else column.double().abs()).flatten(1).amax(dim=1)
        if column[0].numel()
        else torch.zeros(len(rows))
    )
    half = rows[sizes.argsort(stable=True)[: max(len(rows) // 2, 1)].cpu()]
    return half if len(half) > 1 else half.repeat(2 if len(rows) != 2 else 3)


def _refuse_dtype(model: nn.Module, inputs: Inputs, error: Exception) -> None:
    """Raise DataError for inputs of another dtype than the weights."""
    weights = next((value.dtype for value in model.parameters() if value.is_floating_point()), None)
    name, column = next(iter(by_name(inputs).items()))
    name = name or "inputs"
    if weights is None or column.dtype == weights or not ("dtype" in f"{error}" or "scalar type" in f"{error}"):
        return
    raise DataError(
        f"inputs have the dtype of the weights; {name} are {column.dtype}, the weights {weights}; pass "
        f"inputs.to({weights}), or convert the network: network.to({column.dtype})"
        if column.is_floating_point()
        else f"inputs have the dtype of the weights; {name} are {column.dtype}, the weights {weights}; pass "
        f"inputs.to({weights})"
    ) from error


@contextmanager
def _buffers(model: nn.Module) -> Iterator[Callable[[], str | None]]:
    """Restore the buffers of a network; within it, the name of one that has changed."""
    before = {name: (value, value.detach().clone()) for name, value in model.named_buffers()}

    def changed() -> str | None:
        now = dict(model.named_buffers())
        return next((name for name, (_, value) in before.items() if not _equal(now.get(name), value)), None)

    try:
        yield changed
    finally:
        now = dict(model.named_buffers())
        for name, (own, value) in before.items():
            if not _equal(now.get(name), value):
                owner, _, leaf = name.rpartition(".")
                with torch.no_grad(), suppress(RuntimeError):
                    own.copy_(value)
                model.get_submodule(owner)._buffers[leaf] = own


def _equal(one: Tensor | None, other: Tensor) -> bool:
    return one is not None and one.shape == other.shape and bool(((one == other) | (one != one)).all())


@contextmanager
def _random_state(model: nn.Module) -> Iterator[None]:
    devices = [device_of(model)] if device_of(model).type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
