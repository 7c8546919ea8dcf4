"""Approximate logical implications between literals, mined from examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32, Int64

from ndg.errors import GraphError
from ndg.literal import Literal
from ndg.nodes import NodeSpace


@dataclass(frozen=True, eq=False)
class Implications:
    """All implications that hold, sorted by antecedent and consequent.

    Antecedents and consequents are literal codes, `2 * node + value`. An implication and its contrapositive are both
    present and share their exceptions. `on` counts the examples on which a node is on; `with_label[c, i]` those on
    which class c is predicted and node i is on. `constants` are literals that nearly always hold, which take part in no
    implication. `tests` counts the judged pairs of an implication and its contrapositive.

    >>> implications = graph.implications
    >>> implications.examples, len(implications.antecedents) == len(graph)
    (300, True)
    """

    nodes: NodeSpace
    antecedents: Int32[np.ndarray, " edge"]
    consequents: Int32[np.ndarray, " edge"]
    exceptions: Int64[np.ndarray, " edge"]
    on: Int64[np.ndarray, " node"]
    with_label: Int64[np.ndarray, "label node"]
    examples: int
    constants: tuple[Literal, ...]
    criterion: dict[str, Any]
    thresholds: Float64[np.ndarray, " neuron"]
    binarizer: str
    bits_digest: str
    tests: int = 0

    def __post_init__(self) -> None:
        nodes, labels = len(self.nodes), self.nodes.labels
        shapes = self.on.shape, self.with_label.shape, self.thresholds.shape
        if shapes != ((nodes,), (labels, nodes), (self.nodes.neurons,)) or self.antecedents.ndim != 1:
            raise GraphError(
                f"counts must fit {nodes} nodes with {labels} labels and {self.nodes.neurons} neurons; got shapes "
                f"{shapes[0]} of on, {shapes[1]} of with_label and {shapes[2]} of thresholds"
            )
        if not self.antecedents.shape == self.consequents.shape == self.exceptions.shape:
            raise GraphError("an implication must have one antecedent, one consequent and one count of exceptions")
        if len(self.antecedents) and not (
            min(self.antecedents.min(), self.consequents.min()) >= 0
            and max(self.antecedents.max(), self.consequents.max()) < 2 * len(self.nodes)
        ):
            raise GraphError(f"codes of literals of {len(self.nodes)} nodes must be 0 to {2 * len(self.nodes) - 1}")
        forward = self._keys(self.antecedents, self.consequents)
        mirrored = self._keys(self.consequents ^ 1, self.antecedents ^ 1)
        if (np.diff(forward) <= 0).any():
            raise GraphError("implications must be unique and sorted by antecedent and consequent")
        order = np.argsort(mirrored)
        if not (np.array_equal(mirrored[order], forward) and np.array_equal(self.exceptions[order], self.exceptions)):
            raise GraphError("an implication must come with its contrapositive, with the same exceptions")
        for array in (self.antecedents, self.consequents, self.exceptions, self.on, self.with_label, self.thresholds):
            array.flags.writeable = False

    def __repr__(self) -> str:
        return f"Implications({len(self)} among {len(self.nodes)} nodes, {self.examples} examples)"

    def _keys(self, antecedents: np.ndarray, consequents: np.ndarray) -> Int64[np.ndarray, " edge"]:
        return antecedents.astype(np.int64) * (2 * len(self.nodes)) + consequents

    def __len__(self) -> int:
        return len(self.antecedents)

    @property
    def holds(self) -> Int64[np.ndarray, " literal"]:
        """Examples on which each literal holds, by literal code."""
        return np.stack([self.examples - self.on, self.on], axis=1).reshape(-1)

    @property
    def support(self) -> Int64[np.ndarray, " edge"]:
        """Examples on which antecedent and consequent both hold."""
        return self.holds[self.antecedents] - self.exceptions
