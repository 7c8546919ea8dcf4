"""Builders that pack batches of examples as they arrive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Shaped, UInt64

from ndg.bits.packing import Words, pack, pack_above, place
from ndg.errors import BitsError
from ndg.nodes import NodeSpace


class Builder(ABC):
    """Base class of builders, without extra memory per batch."""

    def __init__(self, nodes: NodeSpace) -> None:
        self.nodes = nodes
        self.examples = 0

    @abstractmethod
    def _room(self, examples: int) -> Words:
        """Words with room for `examples` examples; those already packed are kept."""

    def append(self, values: Shaped[np.ndarray, "..."]) -> None:
        """Add booleans, one row per example and column per node."""
        if values.dtype != np.bool_:
            raise BitsError(f"a batch holds booleans; got {values.dtype}; binarise first, as in values > threshold")
        if values.ndim != 2 or values.shape[1] != len(self.nodes):
            raise BitsError(f"a batch has one column per node: expected {len(self.nodes)}, got shape {values.shape}")
        total = self.examples + len(values)
        pack(values, self._room(total), self.examples)
        self.examples = total

    def append_words(self, words: UInt64[np.ndarray, "_ _"], examples: int) -> None:
        """Add packed examples; bits past the last one must be zero."""
        expected = len(self.nodes), -(-examples // 64)
        if words.shape != expected:
            raise BitsError(
                f"packed words must have shape (nodes, examples / 64): expected {expected}, got {words.shape}"
            )
        examples_after = self.examples + examples
        place(words, self._room(examples_after), self.examples)
        self.examples = examples_after

    def append_above(
        self,
        labels: Bool[np.ndarray, "example label"],
        values: Sequence[Float[np.ndarray, "_ _"]],
        thresholds: Float64[np.ndarray, " neuron"],
    ) -> None:
        """Add predicted labels, and the activations above their thresholds, as float64."""
        layers = self.nodes.layers
        if self.nodes.concepts:
            raise BitsError("concepts are added after all examples, by with_concepts; build without them")
        expected = [(len(labels), self.nodes.labels), *((len(labels), layer.units) for layer in layers)]
        shapes = [part.shape for part in (labels, *values)]
        if shapes != expected:
            raise BitsError(
                f"a batch has one row per example in the labels and in each of {len(layers)} layers: expected shapes "
                f"{expected}, got {shapes}; take all from one forward pass"
            )
        if thresholds.shape != (self.nodes.neurons,):
            raise BitsError(f"one threshold per neuron: expected {self.nodes.neurons}, got {thresholds.shape}")
        total = self.examples + len(labels)
        words = self._room(total)
        pack(labels, words[: self.nodes.labels], self.examples)
        for layer, part in zip(layers, values, strict=True):
            rows = self.nodes.slice(layer.name)
            layer_thresholds = thresholds[rows.start - self.nodes.labels : rows.stop - self.nodes.labels]
            pack_above(part, layer_thresholds, words[rows], self.examples)
        self.examples = total
