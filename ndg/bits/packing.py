"""Packing: bit j of word w is example `64 * w + j` everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64, Shaped, UInt64

Words = UInt64[np.ndarray, "node word"]
LINE = 8  # words of a cache line
AT_ONCE = 1 << 18  # bytes of a copy of values that are not contiguous
WORTH_THREADS = 1 << 22  # bytes; for fewer, threads cost more than they save


def tail_mask(examples: int) -> np.uint64:
    """Bits of the last word that belong to an example."""
    used = examples % 64
    return np.uint64((1 << used) - 1 if used else 0xFFFFFFFFFFFFFFFF)


def zeros(nodes: int, words: int) -> Words:
    """Zero words in rows that fill whole cache lines."""
    stride = -(-words // LINE) * LINE
    flat = np.zeros(nodes * stride + LINE, np.uint64)
    skip = -flat.ctypes.data % (8 * LINE) // 8
    return flat[skip : skip + nodes * stride].reshape(nodes, stride)[:, :words]


def pack(values: Bool[np.ndarray, "example node"], words: Words, start: int, threads: int | None = None) -> None:
    """Set bits of `words` from example `start`, and clear those after them."""
    from ndg.bits import kernel

    zero = np.zeros(values.shape[1], np.uint8)
    for first, part in _parts(values):
        at, raw = start + first, part.view(np.uint8)
        _run(partial(kernel.pack, raw, zero, words, at), raw, at, threads)


def pack_above(
    values: Float[np.ndarray, "example unit"],
    thresholds: Float64[np.ndarray, " unit"],
    words: UInt64[np.ndarray, "unit word"],
    start: int,
    threads: int | None = None,
) -> None:
    """Pack `values > thresholds`, compared as float64, without making booleans."""
    from ndg.bits import kernel

    single, cut = values.dtype == np.float32, cuts(thresholds)
    for first, part in _parts(values, 0 if single else AT_ONCE):
        at = start + first
        if single:
            _run(partial(kernel.above, part, cut, words, at), part, at, threads)
        else:
            pack(part.astype(np.float64, copy=False) > thresholds, words, at, threads)


def cuts(thresholds: Float64[np.ndarray, " unit"]) -> Float32[np.ndarray, " unit"]:
    """Largest float32 not above each threshold, which separates float32 values equally."""
    with np.errstate(over="ignore", under="ignore"):
        cut = thresholds.astype(np.float32)
        return np.where(cut > thresholds, np.nextafter(cut, np.float32(-np.inf)), cut)


def place(source: Words, words: UInt64[np.ndarray, "node wider"], start: int) -> None:
    """Copy the rows of `source` to `words` from bit `start` on."""
    from ndg.bits import kernel

    kernel.place(source, words, start)


def unpack(words: Words, examples: int) -> Bool[np.ndarray, "node example"]:
    """Booleans of the first `examples` examples, one row per node."""
    raw = np.ascontiguousarray(words).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(raw, axis=1, count=examples, bitorder="little").view(np.bool_)


def trues(values: Bool[np.ndarray, "*shape row node"]) -> Int64[np.ndarray, "*shape row"]:
    """How many are true along the last axis; several times as fast as a sum."""
    return np.bitwise_count(np.packbits(values, axis=-1)).sum(axis=-1, dtype=np.int64)


def _parts(values: Shaped[np.ndarray, "example node"], most: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Contiguous parts of `values`, with their first rows."""
    if not values.flags.c_contiguous:
        most = AT_ONCE
    step = max(most // max(values.shape[1] * values.itemsize, 1) // 64 * 64, 64) if most else max(len(values), 1)
    for first in range(0, len(values), step):
        yield first, np.ascontiguousarray(values[first : first + step])


def _run(
    work: Callable[[int, int], None], values: Shaped[np.ndarray, "example node"], start: int, threads: int | None
) -> None:
    """Run all packing tasks of `values`, on several threads if worthwhile."""
    from ndg.bits.kernel import GROUP, STRIPE

    examples, nodes = values.shape
    tasks = -(-(start % 64 + examples) // (64 * GROUP)) * -(-nodes // STRIPE)
    if threads is None:
        import numba

        threads = numba.get_num_threads() if values.nbytes >= WORTH_THREADS else 1
    threads = max(min(threads, tasks), 1)
    if threads == 1:
        work(0, tasks)
        return
    from concurrent.futures import ThreadPoolExecutor

    bounds = [tasks * part // threads for part in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, bounds[:-1], bounds[1:]))
