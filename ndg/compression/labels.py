"""Labels of tensors: which unit of which layer each number of a tensor belongs to.

Each row of a producing layer's weights is an atom. A label tensor has the shape of the tensor it describes and holds
the atom of each number, or -1. Atoms that can only be removed together are united.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

NONE = -1
"""The label of a number that belongs to no unit."""


@dataclass(eq=False)
class Atoms:
    """Atoms in united sets, and why some sets cannot be removed.

    Also the axes along which sets may not differ.
    """

    _parents: list[int] = field(default_factory=list)
    _reasons: dict[int, str] = field(default_factory=dict)
    _rules: list[tuple[Tensor, tuple[int, ...], str]] = field(default_factory=list)

    def make(self, count: int) -> Tensor:
        """Labels of new atoms."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return torch.arange(first, first + count)

    def root(self, atom: int) -> int:
        """The atom that stands for its set."""
        while self._parents[atom] != atom:
            self._parents[atom] = self._parents[self._parents[atom]]
            atom = self._parents[atom]
        return atom

    def unite(self, first: Tensor, second: Tensor) -> None:
        """Unite the atoms at equal places of two label tensors that broadcast."""
        pairs = torch.stack([part.flatten() for part in torch.broadcast_tensors(first, second)], dim=1)
        for one, other in pairs.unique(dim=0).tolist():
            if one != NONE and other != NONE:
                a, b = sorted((self.root(one), self.root(other)))
                self._parents[b] = a

    def unite_along(self, labels: Tensor, axis: int) -> Tensor:
        """Unite the atoms along an axis; return labels without the axis."""
        first = labels.amax(axis, keepdim=True)
        self.unite(labels, first)
        return first.squeeze(axis)

    def refuse(self, labels: Tensor, reason: str) -> None:
        """Note why the atoms of a tensor cannot be removed."""
        for atom in labels.unique().tolist():
            if atom != NONE:
                self._reasons.setdefault(atom, reason)

    def require_equal(self, labels: Tensor, axes: tuple[int, ...], reason: str) -> None:
        """Refuse the atoms later if their sets differ along one of these axes."""
        self._rules.append((labels, axes, reason))

    def roots(self, labels: Tensor) -> Tensor:
        """Labels with each atom replaced by the atom of its set."""
        if not self._parents:
            return labels
        table = torch.tensor([*map(self.root, range(len(self._parents))), NONE])
        return table[labels]

    def apply_rules(self) -> None:
        """Refuse the atoms of tensors that break a rule."""
        for labels, axes, reason in self._rules:
            canonical = self.roots(labels)
            if any(_differs(canonical, axis) for axis in axes):
                self.refuse(labels, reason)

    def reasons(self) -> dict[int, str]:
        """Reasons by the atom of each refused set."""
        result: dict[int, str] = {}
        for atom, reason in self._reasons.items():
            result.setdefault(self.root(atom), reason)
        return result

    def __len__(self) -> int:
        return len(self._parents)


def along(labels: Tensor, axis: int) -> Tensor | None:
    """Labels along one axis if they depend on that axis alone, else None."""
    line = labels.movedim(axis, -1).reshape(-1, labels.shape[axis])
    return line[0] if bool((line == line[:1]).all()) else None


def resized(labels: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """Labels for an output whose axes have other sizes, and those axes."""
    axes = tuple(axis for axis, (old, new) in enumerate(zip(labels.shape, shape, strict=True)) if old != new)
    for axis in axes:
        labels = labels.narrow(axis, 0, 1)
    return labels.expand(shape), axes


def _differs(labels: Tensor, axis: int) -> bool:
    return bool((labels != labels.narrow(axis, 0, 1)).any())
