"""What takes batches of examples and packs them as they come, whether into memory or into a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Shaped, UInt64

from ndg.bits.packing import pack, pack_above, place
from ndg.errors import BitsError
from ndg.nodes import NodeSpace


class Builder(ABC):
    """Takes booleans or activations batch by batch; beside the batch itself, a batch costs no memory of its size."""

    def __init__(self, nodes: NodeSpace) -> None:
        self.nodes = nodes
        self.examples = 0

    @abstractmethod
    def _room(self, examples: int) -> UInt64[np.ndarray, "node word"]:
        """Words that can hold `examples` examples, those so far in them."""

    def append(self, values: Shaped[np.ndarray, "..."]) -> None:
        """Add a batch of booleans, one row per example and one column per node."""
        if values.dtype != np.bool_:
            raise BitsError(f"a batch holds booleans; got {values.dtype}; binarise first, as in values > threshold")
        if values.ndim != 2 or values.shape[1] != len(self.nodes):
            raise BitsError(f"a batch has one column per node: expected {len(self.nodes)}, got shape {values.shape}")
        total = self.examples + len(values)
        pack(values, self._room(total), self.examples)
        self.examples = total

    def append_words(self, words: UInt64[np.ndarray, "_ _"], examples: int) -> None:
        """Add examples that are packed already, as in a BitMatrix: bits past the last one are zero."""
        expected = len(self.nodes), -(-examples // 64)
        if words.shape != expected:
            raise BitsError(
                f"packed words have the shape (nodes, examples / 64): expected {expected}, got {words.shape}"
            )
        total = self.examples + examples
        place(words, self._room(total), self.examples)
        self.examples = total

    def append_above(
        self,
        labels: Bool[np.ndarray, "example label"],
        values: Sequence[Float[np.ndarray, "_ _"]],
        thresholds: Float64[np.ndarray, " neuron"],
    ) -> None:
        """Add a batch by the predicted label of each example and the activations of each layer, in order.

        A neuron is on where its activation, as float64, is above its threshold; no boolean of that is made.
        """
        layers = self.nodes.layers
        if self.nodes.concepts:
            raise BitsError("concepts join when all examples are there, by with_concepts; build without them")
        expected = [(len(labels), self.nodes.labels), *((len(labels), layer.units) for layer in layers)]
        found = [part.shape for part in (labels, *values)]
        if found != expected:
            raise BitsError(
                f"a batch has one row per example in the labels and in each of {len(layers)} layers: expected shapes "
                f"{expected}, got {found}; take all from one forward pass"
            )
        if thresholds.shape != (self.nodes.neurons,):
            raise BitsError(f"one threshold per neuron: expected {self.nodes.neurons}, got {thresholds.shape}")
        total = self.examples + len(labels)
        words = self._room(total)
        pack(labels, words[: self.nodes.labels], self.examples)
        for layer, part in zip(layers, values, strict=True):
            where = self.nodes.slice(layer.name)
            level = thresholds[where.start - self.nodes.labels : where.stop - self.nodes.labels]
            pack_above(part, level, words[where], self.examples)
        self.examples = total
