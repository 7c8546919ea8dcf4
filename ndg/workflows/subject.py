"""A network and its examples by split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ndg.activations.batches import Batch, columns, compute_batches, fixed, logits_of, output_of
from ndg.activations.digest import weights_digest
from ndg.activations.sampling import shuffled
from ndg.data.examples import SPLITS, commonest_share
from ndg.errors import DataError, LayerError, ShapeError, UserError, nearest

SHOWN = 40
"""Most layers that an error lists."""
REREAD = 256
"""Examples that are read twice to check that a loader repeats them."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and a loader for each split, `train` among them.

    `facts` describe the data in the run log. With `logits=False` the network gives no logits `[example, class]`; only a
    graph of its neurons can be made. `words` gives the texts of token ids.
    """

    network: nn.Module
    loaders: dict[str, Iterable[Any]]
    facts: dict[str, Any]
    class_names: tuple[str, ...] | None = None
    logits: bool = True
    identity: dict[str, Any] | None = None
    words: Callable[[Sequence[int]], Sequence[str]] | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Number of examples in each split."""
        return dict(self.facts["examples"])

    @property
    def held_out(self) -> str:
        """The split for judging implications: test, else validation."""
        return "test" if "test" in self.loaders else "validation"


class Reading(NamedTuple):
    """Number of examples of a loader, digests, and the share of the commonest class."""

    examples: int
    labelled: bool
    inputs: str
    digest: str
    commonest: float | None


def own(
    network: nn.Module, loaders: Mapping[str, Any], name: str, class_names: Iterable[str] | None, batch: int
) -> Subject:
    """The user's own network and its data, read to the end.

    DataError names a split that cannot be used.
    """
    for split in loaders:
        if split not in SPLITS:
            raise DataError(f"loaders are named {', '.join(SPLITS)}; got {split!r}; {nearest(str(split), SPLITS)}")
    if "train" not in loaders or len(loaders) < 2:
        raise DataError(
            "a graph is mined on the loader `train` and judged on `test` or `validation`, which hold other examples; "
            f"got {', '.join(loaders) or 'none'}; give a loader of held-out examples as well"
        )
    ordered = {split: loaders[split] for split in SPLITS if split in loaders}
    readings = {split: _read(split, loader) for split, loader in ordered.items()}
    for split, reading in readings.items():
        if split != "train" and reading.inputs == readings["train"].inputs:
            raise DataError(
                f"implications are judged on examples that they were not mined on; the loaders of train and of {split} "
                f"give the same {reading.examples:,} inputs; give a loader of held-out examples"
            )
    logits = _probe(network, ordered["train"], batch)
    classes = logits if isinstance(logits, int) else None
    facts = {
        "source": name,
        "classes": classes,
        "examples": {split: reading.examples for split, reading in readings.items()},
        "labelled": [split for split, reading in readings.items() if reading.labelled],
        "commonest": {split: reading.commonest for split, reading in readings.items()},
        "digest": hashlib.sha256(" ".join(reading.digest for reading in readings.values()).encode()).hexdigest()[:16],
    }
    identity = {
        "name": name,
        "type": f"{type(network).__module__}.{type(network).__qualname__}",
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "weights": weights_digest(network),
    }
    names = None if class_names is None else tuple(map(str, class_names))
    if names is not None and classes is not None and len(names) != classes:
        counts = f"{len(names)} names and a network of {classes} classes"
        raise DataError(f"class_names has one name per class; got {counts}")
    return Subject(network, ordered, facts, names, classes is not None, identity)


def candidates(network: nn.Module, loader: Iterable[Any], batch: int) -> dict[str, tuple[int, ...]]:
    """Shapes, by path, of modules that run once per pass."""
    shapes: dict[str, list[tuple[int, ...] | None]] = {}
    first = _first(loader, batch)

    def watch(path: str) -> Any:
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            value = output[0] if isinstance(output, tuple) and output else output
            fits = isinstance(value, Tensor) and value.is_floating_point() and 2 <= value.ndim <= 5
            complete = fits and len(value) == first.rows
            shapes.setdefault(path, []).append(tuple(value.shape[1:]) if complete else None)

        return hook

    with ExitStack() as stack:
        for path, module in network.named_modules():
            if path:
                stack.callback(module.register_forward_hook(watch(path)).remove)
        with fixed(network):
            output_of(network, first.inputs)
    once = {path: calls[0] for path, calls in shapes.items() if len(calls) == 1}
    return {path: shape for path, _ in network.named_modules() if (shape := once.get(path))}


def no_layers(network: nn.Module, loader: Iterable[Any], batch: int) -> LayerError:
    """The error of a network without a latent layer."""
    layers = candidates(network, loader, batch)
    lines = [f"  {path}  {shape}" for path, shape in list(layers.items())[:SHOWN]]
    more = [f"  and {len(layers) - SHOWN} more"] if len(layers) > SHOWN else []
    return LayerError(
        f"the layers of a graph are named by --layers (or extract.layers), or by the network's own `latent_layer`; "
        f"{type(network).__name__} has none; there is, with the shape per example:\n" + "\n".join([*lines, *more])
    )


def integral(loader: Iterable[Any]) -> bool:
    """Whether some inputs are integers, such as tokens."""
    return any(not column.is_floating_point() for column in _columns(_first(loader, 1)).values())


def _read(split: str, loader: Any) -> Reading:
    """Read a loader. Raises DataError unless it repeats its examples."""
    if not isinstance(loader, Iterable):
        raise DataError(
            f"a loader gives batches of (inputs, labels) or dictionaries; that of {split} is a "
            f"{type(loader).__name__}; give a DataLoader or a list of batches"
        )
    if iter(loader) is loader:
        raise DataError(
            f"the loader of {split} is read more than once, and an iterator can be read once; give a list, a "
            "DataLoader, or any object whose iteration starts anew"
        )
    if shuffled(loader):
        raise DataError(
            f"an alignment reads examples in one order; the DataLoader of {split} shuffles them anew each time; make "
            "it with shuffle=False"
        )
    if _digests(loader, REREAD) != _digests(loader, REREAD):
        raise DataError(
            f"an alignment reads examples more than once, and the same ones; the loader of {split} gave others at its "
            "second reading; make the data set deterministic, as in evaluation: no random augmentation, no random "
            "sampler"
        )
    classes: Counter[int] = Counter()
    examples, digests = _digests(loader, classes=classes)
    if not examples:
        raise DataError(f"at least one example is needed; the loader of {split} gave none; check the split")
    text = "".join(f"{key} {digest}" for key, digest in digests.items())
    inputs = " ".join(digest for key, digest in digests.items() if key != "labels")
    digest = hashlib.sha256(f"{examples} {text}".encode()).hexdigest()
    return Reading(examples, "labels" in digests, inputs, digest, commonest_share(classes))


def _digests(
    loader: Iterable[Any], least: int | None = None, classes: Counter[int] | None = None
) -> tuple[int, dict[str, str]]:
    """Number of examples and digests of columns, of `least` examples or all; labels are counted in `classes`."""
    states: dict[str, Any] = {}
    examples = 0
    for batch in loader:
        tensors = columns(batch)
        if classes is not None and "labels" in tensors:
            classes.update(tensors["labels"].flatten().tolist())
        examples += len(next(iter(tensors.values())))
        for key, column in tensors.items():
            state = states.setdefault(key, hashlib.sha256(f"{key} {column.dtype} {tuple(column.shape[1:])}".encode()))
            state.update(column.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        if least is not None and examples >= least:
            break
    return examples, {key: state.hexdigest() for key, state in sorted(states.items())}


def _probe(network: nn.Module, loader: Iterable[Any], batch: int) -> int | None:
    """Number of classes, None for a network without logits `[example, class]`."""
    first = _first(loader, batch)
    try:
        with fixed(network):
            output = output_of(network, first.inputs)
    except UserError:
        raise
    except Exception as error:  # the user's code may raise anything
        shapes = {key or "inputs": tuple(column.shape) for key, column in _columns(first).items()}
        raise DataError(
            f"a network takes what its loader gives; {type(network).__name__} given {shapes} raised "
            f"{type(error).__name__}: {str(error).strip() or 'no message'}; call network(inputs) with one batch of the "
            "loader to see where"
        ) from error
    try:
        return logits_of(output).shape[1]
    except ShapeError:
        return None


def _first(loader: Iterable[Any], batch: int) -> Batch:
    first = next(iter(compute_batches(loader, batch)), None)
    if first is None:
        raise DataError("at least one example is needed; the loader gave none; check the split")
    return first


def _columns(batch: Batch) -> dict[str, Tensor]:
    return batch.inputs if isinstance(batch.inputs, dict) else {"": batch.inputs}


@dataclass(frozen=True, eq=False)
class AdaptedLoader:
    """A loader adapted to a network of `transformers`.

    Keeps the columns that the network knows and normalises pixels by `mean` and `std` per channel. `order` maps classes
    of the data to labels of the network.
    """

    loader: Any
    known: frozenset[str]
    order: Tensor
    mean: Tensor | None = None
    std: Tensor | None = None

    @property
    def examples(self) -> Any:
        """Number of examples of the loader."""
        return self.loader.examples

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        for inputs, classes in self.loader:
            labels = self.order[classes]
            if isinstance(inputs, dict):
                yield {key: column for key, column in inputs.items() if key in self.known}, labels
            elif self.mean is not None and self.std is not None:
                yield (inputs - self.mean) / self.std, labels
            else:
                yield inputs, labels
