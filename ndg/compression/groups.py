"""Groups of coupled layers: units that can be removed exactly, and why others cannot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from torch import nn

from ndg.activations.batches import Inputs
from ndg.compression.labels import NONE, along
from ndg.compression.trace import Seen, Trace, trace
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
    """Units that can be removed: the rows that make them, the scales between, the columns that read them.

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
    """Groups by name in order of execution, and the reason for each layer whose units cannot be removed."""

    groups: dict[str, Group]
    refused: dict[str, str]

    def select(self, layers: Iterable[str] | None) -> dict[str, Group]:
        """The named groups, all for None. A group is named by itself or by a module that makes its units.

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
                raise LayerError(
                    f"a compressed layer has units that can be removed exactly; {layer!r} has none: "
                    + (self.refused.get(layer) or f"no such layer; {nearest(layer, [*self.groups, *self.refused])}")
                    + ("" if layer not in self.refused else f"; choose among {', '.join(self.groups) or 'none'}")
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
    refused, groups = {}, {}
    families: dict[tuple[str, ...], list[int]] = {}
    for root, makers in members.items():
        families.setdefault(tuple(sorted(makers)), []).append(root)
    reasons = atoms.reasons()
    for paths, roots in families.items():
        name = _common(paths)
        reason = next((reasons[root] for root in roots if root in reasons), "")
        result = reason or _group(model, seen, name, paths, roots, members)
        if isinstance(result, Group):
            groups[name] = result
        else:
            refused |= dict.fromkeys([name, *paths], result)
    return Coupling(groups, refused)


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


def _group(
    model: nn.Module, seen: Trace, name: str, paths: tuple[str, ...], roots: list[int],
    members: dict[int, dict[str, list[int]]],
) -> Group | str:  # fmt: skip
    """The group of some sets of atoms, or why it is none."""
    if len(roots) == 1 and sum(map(len, members[roots[0]].values())) > LEAST:
        return "its units are one unit to the rest of the network (attention without a number of heads)"
    if len(roots) <= LEAST:
        return f"it has {len(roots)} units, and every layer keeps {LEAST}"
    for path in paths:
        if not isinstance(model.get_submodule(path), SUPPORTED):
            return f"{path!r} is a {type(model.get_submodule(path)).__name__}, from which no rows can be taken"
    if any(getattr(model.get_submodule(path), "num_layers", 1) > 1 for path in paths):
        return f"{name!r} has several recurrent layers in one module; build one module for each layer"
    makers = [_part(path, [members[root][path] for root in roots]) for path in paths]
    readers = _read(seen, seen.readers, roots)
    scales = _read(seen, seen.scales, roots)
    for entry in (*makers, *(readers if isinstance(readers, list) else [readers]), *scales):
        if isinstance(entry, str):
            return entry
    if not readers:
        return "no dense layer, convolution or recurrent layer reads its units"
    for part, kinds in [(part, SUPPORTED) for part in readers] + [(part, SCALES) for part in scales]:
        if not isinstance(model.get_submodule(part.path), kinds):
            return f"{part.path!r} reads them, and is a {type(model.get_submodule(part.path)).__name__}"
    first = model.get_submodule(paths[0])
    kind = "hidden unit" if isinstance(first, nn.RNNBase) else "unit" if isinstance(first, nn.Linear) else "channel"
    kind = "head" if any(part.width > 1 for part in makers) else kind
    return Group(name, kind, len(roots), tuple(makers), tuple(scales), tuple(readers))


def _part(path: str, rows: list[list[int]]) -> Part | str:
    if len({len(each) for each in rows}) != 1:
        return f"its units have different numbers of rows in {path!r}"
    return Part(path, np.array(rows, dtype=np.int64))


def _read(seen: Trace, modules: Iterable[Seen], roots: list[int]) -> list[Part | str]:
    """Entries of the modules that read or scale some units."""
    numbers = {root: number for number, root in enumerate(roots)}
    parts: list[Part | str] = []
    for module in modules:
        labels = seen.atoms.roots(module.labels)
        if not any(root in numbers for root in labels.unique().tolist() if root != NONE):
            continue
        line = along(labels, module.axis)
        if line is None:
            parts.append(f"{module.path!r} reads them along several axes")
            continue
        rows: list[list[int]] = [[] for _ in roots]
        for entry, root in enumerate(line.tolist()):
            if root in numbers:
                rows[numbers[root]].append(entry)
        parts.append(_part(module.path, rows))
    return parts
