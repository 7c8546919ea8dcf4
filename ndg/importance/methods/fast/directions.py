"""Random directions of the logits, orthogonal between examples of a predicted class.

The size of an effect v on the logits is estimated from its part in K random directions, `||P v|| / mean ||P v||`.
Examples with the same prediction have similar effects, so they use different columns of one random rotation and
together cover all directions; this makes the error of the mean much smaller at the same cost.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from jaxtyping import Float64, Int64

from ndg import seeds

WIDE = 64
"""Largest number of columns of a rotation, unless one example needs more."""

NEAR = 8
"""Largest number of examples for the similarity of effects."""


class Directions:
    """`Directions(seed, logits, each).of(classes)`: orthonormal directions for each example, in order.

    They depend on the number of earlier examples of the same class, not on batches.
    """

    def __init__(self, seed: int, logits: int, each: int) -> None:
        self._seed, self._logits, self.each = seed, logits, each
        self._columns = max(each, min(logits, WIDE))
        self._turns = self._columns // each
        self._rotations: dict[int, Float64[np.ndarray, "logit column"]] = {}
        self._before: Counter[int] = Counter()
        self.pairs = 0

    def of(self, classes: Int64[np.ndarray, " example"]) -> Float64[np.ndarray, "example direction logit"]:
        """Directions of the next examples, predicted as these classes."""
        directions = np.empty((len(classes), self.each, self._logits))
        for row, label in enumerate(classes.tolist()):
            number, turn = divmod(self._before[label], self._turns)
            if turn == 0:
                self._rotations[label] = self._rotation(label, number)
            self._before[label] += 1
            self.pairs += turn
            directions[row] = self._rotations[label][:, turn * self.each : (turn + 1) * self.each].T
        return directions

    @property
    def scale(self) -> float:
        """Mean size of a unit vector's part in the directions of an example."""
        return math.exp(
            math.lgamma((self.each + 1) / 2) - math.lgamma(self.each / 2)
            + math.lgamma(self._logits / 2) - math.lgamma((self._logits + 1) / 2)
        )  # fmt: skip

    @property
    def spread(self) -> float:
        """Share of the mean square of estimated sizes that is noise."""
        return 1 - self.scale**2 * self._logits / self.each

    def shared(self, examples: int, alike: float) -> float:
        """Variance of the mean size relative to independent directions; `alike` is that of `alike`."""
        if not self.pairs:
            return 1.0
        own = self.each / self._logits - self.scale**2
        both = math.exp(2 * (math.lgamma((self.each + 1) / 2) - math.lgamma(self.each / 2))) * 2 / self._logits
        less = (both - self.scale**2) * (self._logits * alike - 1) / (self._logits - 1)
        return min(1.0, max(0.0, 1 + 2 * self.pairs / examples * less / own))

    def _rotation(self, label: int, number: int) -> Float64[np.ndarray, "logit column"]:
        draw = seeds.generator(self._seed, "directions", label, number)
        columns, upper = np.linalg.qr(draw.normal(size=(self._logits, self._columns)))
        return columns * np.where(np.diag(upper) < 0, -1.0, 1.0)


def alike(effects: Float64[np.ndarray, "unit example logit"]) -> float:
    """Mean squared cosine of the effects on two examples."""
    effects = effects[:, :NEAR]
    sizes = np.linalg.norm(effects, axis=2)
    products = np.einsum("uel,ufl->uef", effects, effects) ** 2
    weights = sizes[:, :, None] * sizes[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines = np.where(weights > 0, products / weights, 0)
    apart = ~np.eye(effects.shape[1], dtype=bool)
    total = float((weights[:, apart]).sum())
    return float(cosines[:, apart].sum()) / total if total else 0.0
