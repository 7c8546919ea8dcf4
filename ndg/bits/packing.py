"""Booleans to 64-bit words and back. Bit j of word w is example `64 * w + j` on every machine."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, UInt64


def tail_mask(examples: int) -> np.uint64:
    """The bits of the last word that belong to an example."""
    used = examples % 64
    return np.uint64((1 << used) - 1 if used else 0xFFFFFFFFFFFFFFFF)


def pack(values: Bool[np.ndarray, "example node"], words: UInt64[np.ndarray, "node word"], start: int) -> None:
    """Set the bits of examples `start`, `start + 1`, ... in `words`, whose bits there are zero."""
    count = len(values)
    if not count:
        return
    shift, first = start % 64, start // 64
    padded = np.zeros((-(-(shift + count) // 64) * 64, values.shape[1]), np.bool_)
    padded[shift : shift + count] = values
    packed = np.packbits(padded, axis=0, bitorder="little")
    packed = np.ascontiguousarray(packed.T).view("<u8").astype(np.uint64, copy=False)
    words[:, first : first + packed.shape[1]] |= packed


def unpack(words: UInt64[np.ndarray, "node word"], examples: int) -> Bool[np.ndarray, "node example"]:
    """The booleans of the first `examples` examples, one row per node."""
    raw = np.ascontiguousarray(words).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(raw, axis=1, count=examples, bitorder="little").astype(np.bool_)
