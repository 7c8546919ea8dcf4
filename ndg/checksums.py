"""Fast checksums: the sums of all rows and all columns, hashed.

Sums are of 64-bit words, modulo 2**64. Any change within one word changes both; two exchanged words change one of them
at least. The sums take a seventh of the time of SHA-256, and less than half of that in processes that have loaded
compiled kernels, as for mining: one adds both in one pass (`python -m benchmarks.checksums`).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt64

SIZE = 16
"""Bytes of a checksum."""

ROW = 512
"""Words of a row into which plain bytes are cut."""

AT_ONCE = 1 << 16
"""Words that are summed at once; they stay in the cache of a core."""

WORTH_KERNEL = 1 << 17
"""Words that are worth the start of the compiled kernel."""


class Sums:
    """Sums of the rows and columns of a matrix that grows by columns."""

    def __init__(self, rows: int) -> None:
        self.rows = np.zeros(rows, np.uint64)
        self.columns = np.zeros(0, np.uint64)

    def add(self, words: UInt64[np.ndarray, "row word"]) -> None:
        """Add further columns."""
        height, width = words.shape
        columns = np.zeros(width, np.uint64)
        if words.size >= WORTH_KERNEL and "ndg.compiled" in sys.modules and _plain(words):
            from ndg import checksum_kernel

            checksum_kernel.add(words, self.rows, columns)
            self.columns = np.concatenate([self.columns, columns])
            return
        step = max(AT_ONCE // max(width, 1), 1)
        for start in range(0, height, step):
            part = words[start : start + step]
            self.rows[start : start + step] += part.sum(axis=1, dtype=np.uint64)
            columns += part.sum(axis=0, dtype=np.uint64)
        self.columns = np.concatenate([self.columns, columns])

    def checksum(self, last: UInt64[np.ndarray, " row"] | None = None) -> bytes:
        """Checksum of all columns, and of a `last` one that is still incomplete."""
        rows = self.rows if last is None else self.rows + last
        state = hashlib.blake2b(rows.astype("<u8", copy=False).tobytes(), digest_size=SIZE)
        state.update(self.columns.astype("<u8", copy=False).tobytes())
        if last is not None:
            state.update(last.sum(dtype=np.uint64).astype("<u8").tobytes())
        return state.digest()


def _plain(words: np.ndarray) -> bool:
    """Whether an array is contiguous and of this machine's byte order."""
    return words.flags.c_contiguous and words.flags.aligned and words.dtype == np.uint64


def checksum(parts: Iterable[bytes | memoryview | np.ndarray]) -> str:
    """Hexadecimal checksum of contiguous parts, which may not be joined differently."""
    return joined(map(piece, parts))


def piece(part: bytes | memoryview | np.ndarray) -> bytes:
    """What a contiguous part contributes to a checksum.

    Threads may work on several parts.
    """
    octets = np.frombuffer(part, np.uint8)
    whole = len(octets) // (8 * ROW) * (8 * ROW)
    sums = Sums(whole // (8 * ROW))
    sums.add(octets[:whole].view("<u8").reshape(-1, ROW))
    return len(octets).to_bytes(8, "little") + sums.checksum() + octets[whole:].tobytes()


def joined(pieces: Iterable[bytes]) -> str:
    """Hexadecimal checksum of the parts that gave these pieces, in order."""
    state = hashlib.blake2b(digest_size=SIZE)
    for each in pieces:
        state.update(each)
    return state.hexdigest()
