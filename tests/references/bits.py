"""Slow transcriptions of packing: one bit at a time."""

import numpy as np


def words_of(values):
    """The words of booleans [example, node], one row per node."""
    examples, nodes = values.shape
    words = [[0] * (-(-examples // 64)) for _ in range(nodes)]
    for example in range(examples):
        for node in range(nodes):
            if values[example, node]:
                words[node][example // 64] |= 1 << (example % 64)
    return np.array(words, np.uint64).reshape(nodes, -(-examples // 64))


def above(values, thresholds):
    """Whether each activation, as a Python float, is above its unit's threshold."""
    rows = [[float(x) > float(t) for x, t in zip(row, thresholds, strict=True)] for row in values]
    return np.array(rows, np.bool_).reshape(values.shape)
