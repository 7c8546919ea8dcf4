"""Random numbers from named children of one seed.

A draw depends on the seed, its purpose and, if it belongs to an example, the index of that example. It never depends on
batch size, worker or order, so any part of a computation can be repeated alone.
"""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Float64, Int64, UInt64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def integer(seed: int, *purpose: str | int) -> int:
    """Seed in [0, 2**63) for a purpose, for torch and others."""
    text = "\x1f".join([str(int(seed)), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Numpy generator for a purpose."""
    return np.random.Generator(np.random.PCG64(integer(seed, *purpose)))


def words(
    seed: int, *purpose: str | int, examples: Int64[np.ndarray, " example"], draws: int
) -> UInt64[np.ndarray, "example draw"]:
    """Uniform 64-bit words, `draws` for each example index, equal in every batch.

    SplitMix64 (Steele, Lea & Flood 2014) of a counter of example and draw, keyed by seed and purpose.
    """
    key = np.uint64(integer(seed, *purpose))
    with np.errstate(over="ignore"):
        row = _mix(examples.astype(np.uint64) * _GOLDEN + key)
        return _mix(row[:, None] + np.arange(1, draws + 1, dtype=np.uint64)[None, :] * _GOLDEN)


def uniform(seed: int, *purpose: str | int, examples: int, draws: int) -> Float64[np.ndarray, "example draw"]:
    """Numbers in [0, 1), `draws` for each of the first examples."""
    index = np.arange(examples, dtype=np.int64)
    return (words(seed, *purpose, examples=index, draws=draws) >> np.uint64(11)) * 2.0**-53


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = z ^ (z >> np.uint64(31))
    return mixed
