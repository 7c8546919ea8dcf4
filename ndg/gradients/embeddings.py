"""Replace token ids by their embeddings, so that paths can lead to them.

    with Words(model, loader) as words:
        inputs = words.embedded({"input_ids": ids, "attention_mask": mask})
        forward(model, inputs)      # the network reads the ids, and its nn.Embedding returns `inputs["input_ids"]`

What else a network makes of the ids, such as positions or a mask, does not move.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from copy import copy
from itertools import islice
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from ndg.activations.batches import Inputs, by_name, compute_batches, device_of, forward
from ndg.errors import DataError
from ndg.gradients.neutral import check_rereadable

IDS = "\0ids "
"""Prefix of the column with the ids of an embedded input."""

STILL = ("attention_mask", "token_type_ids", "position_ids")
"""Inputs that do not move along a path."""

PROBED = 16
"""Number of examples that show which modules read the ids."""

Ids = Shaped[Tensor, "example ..."]
Vectors = Float[Tensor, "example ..."]


class Words:
    """Context in which a network takes embeddings for token ids.

    Embeddings by several modules of the same ids lie side by side in the last axis. Enter it before contexts that read
    the outputs of these modules. On entry the first examples of the loader pass the network.
    """

    def __init__(self, model: nn.Module, loader: Iterable[Any]) -> None:
        self._model, self._loader = model, loader
        self._modules = [module for module in model.modules() if isinstance(module, nn.Embedding)]
        self._stack = ExitStack()
        self._readers: dict[str, list[nn.Embedding]] = {}
        self._vectors: dict[str, Vectors] = {}
        self._ids: dict[str, Ids] = {}
        self._supplied: set[tuple[str, nn.Embedding]] = set()
        self._alone: dict[nn.Embedding, nn.Embedding] = {}

    def __enter__(self) -> Words:
        if self._modules and iter(self._loader) is not self._loader:
            for batch in islice(compute_batches(self._loader, PROBED, short=True), 1):
                self._readers = self._readers_of(batch.inputs)
        self._alone = {module: _alone(module) for module in self._modules}
        enter = self._stack.enter_context
        enter(self._model.register_forward_pre_hook(self._begin, with_kwargs=True, prepend=True))
        enter(self._model.register_forward_hook(self._end, always_call=True))
        for module in self._modules:
            enter(module.register_forward_hook(self._supply, with_kwargs=True))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def embedded(self, inputs: Inputs) -> Inputs:
        """Inputs with embeddings for token ids, and the ids beside them.

        Raises DataError for whole numbers that no `nn.Embedding` reads as they are.
        """
        names = _whole(inputs)
        if not names:
            return inputs
        columns = dict(by_name(inputs))
        for name in names:
            if not self._readers.get(name):
                raise self._unread(name, columns[name])
            ids = columns[name].to(device_of(self._model))
            with torch.no_grad():
                columns[name] = torch.cat([self._alone[module](ids) for module in self._readers[name]], dim=-1)
            columns[IDS + name] = ids
        return columns

    @property
    def what(self) -> str:
        """Name of the end of a path: embedding or input."""
        return "embedding" if self._readers else "input"

    def kept(self, columns: Mapping[str, Tensor], name: str) -> Bool[Tensor, "example ..."] | None:
        """Mask of unpadded tokens by `attention_mask`, else by `padding_idx`.

        None if unknown.
        """
        ids, mask = columns[IDS + name], columns.get("attention_mask")
        if mask is not None:
            return mask.to(ids.device) != 0 if mask.shape == ids.shape else None
        padding = self._readers[name][0].padding_idx
        return None if padding is None else ids != padding

    def _begin(self, model: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self._supplied.clear()
        self._ids = {key.removeprefix(IDS): column for key, column in named.items() if key.startswith(IDS)}
        self._vectors = {name: named[name] for name in self._ids}
        if not self._ids:
            return None
        columns = {key: column for key, column in named.items() if not key.startswith(IDS)} | self._ids
        bare = (columns.pop(""),) if "" in columns else ()
        return (*arguments, *bare), columns

    def _supply(self, module: nn.Embedding, arguments: Any, named: Any, output: Any) -> Any:
        """Given vectors of the ids that a module reads."""
        ids = _first(arguments, named)
        same = [name for name in self._ids if module in self._readers[name] and _equal(ids, self._ids[name])]
        if not same:
            self._check_other_ids(module)
            return None
        name = next((name for name in same if (name, module) not in self._supplied), same[0])
        self._supplied.add((name, module))
        modules = self._readers[name]
        widths = [reader.embedding_dim for reader in modules]
        return self._vectors[name].split(widths, dim=-1)[modules.index(module)].clone()  # others may write to it

    def _check_other_ids(self, module: nn.Embedding) -> None:
        """Raise DataError for an embedded table that other ids read."""
        for name, column in self._ids.items():
            if any(reader.weight.data_ptr() == module.weight.data_ptr() for reader in self._readers[name]):
                raise self._unread(name, column, "its nn.Embedding also looks up others, such as shifted ids")

    def _end(self, model: nn.Module, arguments: Any, output: Any) -> None:
        ids, self._ids, self._vectors = self._ids, {}, {}
        for name in ids:
            if output is not None and any((name, module) not in self._supplied for module in self._readers[name]):
                raise self._unread(name, ids[name])  # in this pass, where it was in the first

    def _readers_of(self, inputs: Inputs) -> dict[str, list[nn.Embedding]]:
        """Modules that embed each input of token ids."""
        names = _whole(inputs)
        seen: list[tuple[nn.Embedding, Tensor | None]] = []
        with ExitStack() as stack:
            for module in self._modules:
                handle = module.register_forward_pre_hook(
                    lambda module, arguments, named: seen.append((module, _first(arguments, named))), with_kwargs=True
                )
                stack.enter_context(handle)
            if names:
                with torch.no_grad():
                    forward(self._model, inputs)
        readers = {}
        for name in names:
            ids = inputs[name] if isinstance(inputs, dict) else inputs
            modules = [module for module, read in seen if _equal(read, ids) and _by_token(module, ids)]
            readers[name] = list(dict.fromkeys(modules))
        return readers

    def _unread(self, name: str, column: Tensor, why: str | None = None) -> DataError:
        if self._modules:
            check_rereadable(self._loader, "a path to the embeddings of token ids")
        why = why or f"no nn.Embedding of {type(self._model).__name__} reads it"
        return DataError(
            f"a path of inputs from a baseline needs floats, or token ids that an nn.Embedding reads as they are; "
            f"{name or 'the input'} has {column.dtype} and {why}; "
            "score a network that takes embeddings or scaled pixels, or use method='gndi'"
        )


def _alone(module: nn.Embedding) -> nn.Embedding:
    """A copy of a module that keeps its present hooks."""
    twin = copy(module)
    for hooks in ("_forward_hooks", "_forward_pre_hooks"):
        setattr(twin, hooks, getattr(module, hooks).copy())
    return twin


def _whole(inputs: Inputs) -> list[str]:
    """Names of the inputs of whole numbers that move."""
    columns = by_name(inputs)
    return [name for name, column in columns.items() if name not in STILL and not column.is_floating_point()]


def _first(arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Tensor | None:
    """The first argument of a call, if it is a tensor."""
    first = next(iter([*arguments, *named.values()]), None)
    return first if isinstance(first, Tensor) else None


def _equal(read: Tensor | None, ids: Tensor) -> bool:
    return read is not None and read.shape == ids.shape and torch.equal(read, ids.to(read))


def _by_token(module: nn.Embedding, ids: Tensor) -> bool:
    """Whether a module embeds tokens independently of their position."""
    ids = ids.to(module.weight.device)
    axes = tuple(range(ids.ndim))
    with torch.no_grad():
        vectors, turned = module(ids), module(ids.flip(axes))
    return vectors.shape == (*ids.shape, module.embedding_dim) and torch.equal(turned.flip(axes), vectors)
