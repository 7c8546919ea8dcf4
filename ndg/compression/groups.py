"""Groups of coupled layers: units that can be removed exactly, and why others cannot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64
from torch import nn

from ndg.activations.batches import Inputs
from ndg.compression.labels import NONE, along
from ndg.compression.trace import trace
from ndg.compression.walk import Seen, Trace
from ndg.errors import LayerError, nearest

LEAST = 2
"""Units that every layer keeps."""

SUPPORTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.LSTM, nn.GRU)
SCALES = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, eq=False)
class Part:
    """Entries of one module along one axis that belong to each unit."""

    path: str
    index: Int64[np.ndarray, "unit entry"]

    @property
    def width(self) -> int:
        """Entries of one unit."""
        return int(self.index.shape[1])


@dataclass(frozen=True, eq=False)
class Group:
    """Removable units: rows that make them, scales, columns that read them.

    `kind` is "unit", "channel", "head" or "hidden unit". Readers are in order of execution.
    """

    name: str
    kind: str
    units: int
    makers: tuple[Part, ...]
    scales: tuple[Part, ...]
    readers: tuple[Part, ...]


@dataclass(frozen=True, eq=False)
class Coupling:
    """Groups by name, and the reason for each layer without one.

    Groups stand in the order of execution.

    `kinds` has the class of every module by its path.
    """

    groups: dict[str, Group]
    refused: dict[str, str]
    kinds: dict[str, str] = field(default_factory=dict)

    def select(self, layers: Iterable[str] | None) -> dict[str, Group]:
        """The named groups, all for None.

        A group is named by itself or by a module that makes its units.

        Raises LayerError with the reason for a layer whose units cannot be removed.
        """
        if layers is None:
            return dict(self.groups)
        chosen: dict[str, Group] = {}
        for layer in layers:
            names = [
                name
                for name, group in self.groups.items()
                if layer == name or any(layer == part.path for part in group.makers)
            ]
            if not names:
                reason = self.refused.get(layer)
                if reason is None and layer in self.kinds:
                    reason = f"no weights of this module ({self.kinds[layer]}) make them"
                raise LayerError(
                    f"a compressed layer has units that can be removed exactly; {layer!r} has none: "
                    + (reason or f"no such layer; {nearest(layer, [*self.groups, *self.refused])}")
                    + ("" if reason is None else f"; choose among {', '.join(self.groups) or 'none'}")
                )
            chosen |= {name: self.groups[name] for name in names}
        return {name: group for name, group in self.groups.items() if name in chosen}


def couple(model: nn.Module, inputs: Inputs) -> Coupling:
    """The groups of a network, found from its operations on some inputs.

    Raises LayerError for quantised networks, and for those that torch.export cannot trace.
    """
    seen = trace(model, inputs)
    atoms = seen.atoms
    members = _members(seen)
    refused: dict[str, str] = {}
    groups: dict[str, Group] = {}
    families: dict[tuple[str, ...], list[int]] = {}
    for root, makers in members.items():
        families.setdefault(tuple(sorted(makers)), []).append(root)
    reasons = atoms.reasons()
    for paths, roots in families.items():
        name = _common(paths)
        try:
            for root in roots:
                if root in reasons:
                    raise _NotExactError(reasons[root])
            groups[name] = _group(model, seen, name, paths, roots, members)
        except _NotExactError as error:
            refused |= dict.fromkeys([name, *paths], str(error))
    kinds = {path: type(module).__name__ for path, module in model.named_modules(remove_duplicate=False)}
    return Coupling(groups, _aliases(model, groups, refused) | refused, kinds)


def _aliases(model: nn.Module, groups: Mapping[str, Group], refused: Mapping[str, str]) -> dict[str, str]:
    """Reasons for other modules that hold the weights of refused layers."""
    owners = [(path.rpartition(".")[0], id(weight)) for path, weight in model.named_parameters(remove_duplicate=False)]
    known = {weight: owner for owner, weight in owners if owner in refused}
    return {
        owner: f"its weights are those of {known[weight]!r}: {refused[known[weight]]}"
        for owner, weight in owners
        if weight in known and owner not in groups and owner not in refused
    }


def _members(seen: Trace) -> dict[int, dict[str, list[int]]]:
    """Rows of each module that belong to each set of atoms."""
    members: dict[int, dict[str, list[int]]] = {}
    for maker in seen.makers:
        line = along(maker.labels, maker.axis)
        assert line is not None  # as it was made
        rows = dict.fromkeys(line.tolist())
        for row, atom in enumerate(rows):
            members.setdefault(seen.atoms.root(atom), {}).setdefault(maker.path, []).append(row)
    return members


def _common(paths: tuple[str, ...]) -> str:
    """The path of a group: of its only maker, or of the module that holds all."""
    if len(paths) == 1:
        return paths[0]
    shared = []
    for names in zip(*(path.split(".") for path in paths), strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return ".".join(shared) or "+".join(paths)


class _NotExactError(Exception):
    """Why some units cannot be removed."""


def _group(
    model: nn.Module,
    seen: Trace,
    name: str,
    paths: tuple[str, ...],
    roots: list[int],
    members: dict[int, dict[str, list[int]]],
) -> Group:
    """The group of some sets of atoms. Raises _NotExactError."""
    if len(roots) == 1 and sum(map(len, members[roots[0]].values())) > LEAST:
        raise _NotExactError("its units are one unit to the rest of the network (attention without a number of heads)")
    if len(roots) <= LEAST:
        raise _NotExactError(f"it has {len(roots)} units, and every layer keeps {LEAST}")
    makers = tuple(_part(path, [members[root][path] for root in roots]) for path in paths)
    readers, scales = _entries(seen, seen.readers, roots), _entries(seen, seen.scales, roots)
    if not readers:
        raise _NotExactError("no dense layer, convolution or recurrent layer reads its units")
    for part, kinds in [(part, SUPPORTED) for part in (*makers, *readers)] + [(part, SCALES) for part in scales]:
        module = model.get_submodule(part.path)
        if not isinstance(module, kinds):
            raise _NotExactError(f"{part.path!r} is a {type(module).__name__}, from which nothing can be taken")
        if getattr(module, "num_layers", 1) > 1:
            raise _NotExactError(
                f"{part.path!r} has several recurrent layers; build one module with batch_first=True for each layer"
            )
    first = model.get_submodule(paths[0])
    kind = "hidden unit" if isinstance(first, nn.RNNBase) else "unit" if isinstance(first, nn.Linear) else "channel"
    kind = "head" if any(part.width > 1 for part in makers) else kind
    return Group(name, kind, len(roots), makers, scales, readers)


def _part(path: str, rows: list[list[int]]) -> Part:
    if len({len(each) for each in rows}) != 1:
        raise _NotExactError(f"its units have different numbers of rows in {path!r}")
    return Part(path, np.array(rows, dtype=np.int64))


def _entries(seen: Trace, modules: Iterable[Seen], roots: list[int]) -> tuple[Part, ...]:
    """Entries of the modules that read or scale some units."""
    numbers = {root: number for number, root in enumerate(roots)}
    parts = []
    for module in modules:
        labels = seen.atoms.roots(module.labels)
        if not any(root in numbers for root in labels.unique().tolist() if root != NONE):
            continue
        line = along(labels, module.axis)
        if line is None:
            raise _NotExactError(f"{module.path!r} reads them along several axes")
        rows: list[list[int]] = [[] for _ in roots]
        for entry, root in enumerate(line.tolist()):
            if root in numbers:
                rows[numbers[root]].append(entry)
        parts.append(_part(module.path, rows))
    return tuple(parts)
