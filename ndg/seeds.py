"""Randomness as named children of one seed.

A draw depends on the seed, on what it is for and, where it belongs to an example, on that example's index: never on
batch size, worker or order. So any part of a computation can be repeated alone.
"""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Int64, UInt64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def integer(seed: int, *purpose: str | int) -> int:
    """A seed in [0, 2**63) for the named purpose, as torch and others want one."""
    text = "\x1f".join([str(int(seed)), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A numpy generator for the named purpose."""
    return np.random.Generator(np.random.PCG64(integer(seed, *purpose)))


def words(
    seed: int, *purpose: str | int, examples: Int64[np.ndarray, " example"], draws: int
) -> UInt64[np.ndarray, "example draw"]:
    """Uniform 64-bit words, `draws` for each example index: draw k of example i is the same in every batch.

    SplitMix64 (Steele, Lea & Flood 2014) of a counter made of example and draw, keyed by seed and purpose.
    """
    key = np.uint64(integer(seed, *purpose))
    with np.errstate(over="ignore"):
        row = _mix(examples.astype(np.uint64) * _GOLDEN + key)
        return _mix(row[:, None] + np.arange(1, draws + 1, dtype=np.uint64)[None, :] * _GOLDEN)


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
