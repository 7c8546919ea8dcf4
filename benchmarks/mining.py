"""The mining engine against what it replaces, in one process, the alternatives taking turns.

    python -m benchmarks.mining [--json FILE] [--quick]

Medians of several runs; `vs_mlxtend` and `vs_pyfim` where those packages are installed (`make bench` does so).
`--quick` takes small sizes. The figures of `benchmarks.capture` and `benchmarks.graph` follow.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numba
import numpy as np
import torch

from benchmarks import capture, graph
from benchmarks.frame import Figures, Part, WrongResultError, parser, run
from benchmarks.memory import peak_extra
from benchmarks.timing import median_seconds
from ndg.bits.matrix import BitMatrix
from ndg.bits.packing import zeros
from ndg.mining.kernel import BLOCK, common
from ndg.mining.miner import find
from ndg.nodes import LayerUnits, NodeSpace

ALPHA = 20.0


@dataclass(frozen=True)
class Sizes:
    """Nodes and examples of each part, and repetitions."""

    products: tuple[int, int] = (4096, 65536)
    registers: tuple[int, int] = (4096, 65536)
    outer: tuple[int, int] = (768, 9_984)
    itemsets: tuple[int, int] = (300, 9_984)
    vit: tuple[int, int] = (36864, 65536)
    by_nodes: tuple[int, ...] = (2048, 4096, 8192, 16384)
    by_examples: tuple[int, ...] = (16384, 32768, 65536, 131072, 262144)
    rounds: int = 7


QUICK = Sizes((256, 4096), (256, 4096), (64, 1024), (32, 1024), (256, 1024), (128, 256), (1024, 2048), 1)


def random_bits(nodes: int, examples: int, seed: int = 0) -> BitMatrix:
    """Random bits in which every seventh node follows from the one before it, with a few exceptions."""
    rng = np.random.default_rng(seed)
    words = zeros(nodes, examples // 64)  # laid out as extraction does
    for row in words:
        row[:] = rng.integers(0, 2**64, len(row), dtype=np.uint64)
    followers = words[1::7]
    followers |= words[0:-1:7][: len(followers)]
    rare = np.arange(words.shape[1]) % 97 == 0
    followers[:, rare] = rng.integers(0, 2**64, (len(followers), int(rare.sum())), dtype=np.uint64)
    bits = BitMatrix(NodeSpace(0, (LayerUnits("x", nodes),)), words, examples, np.full(nodes, np.nan))
    _ = bits.digest  # hashed once for all
    return bits


def judged(product: Callable[[slice], torch.Tensor], on: torch.Tensor, examples: int) -> int:
    """Implications by the paper's criterion from counts that a product gives a block of rows at a time."""
    found, nodes = 0, len(on)
    for start in range(0, nodes, 512):
        rows = slice(start, min(start + 512, nodes))
        both = product(rows).double()
        later = torch.ones_like(both, dtype=torch.bool).triu(start + 1)
        row, column = on[rows, None].double(), on[None, :].double()
        off_row, off_column = examples - row, examples - column
        for exceptions, p, not_q in (
            (row - both, row, off_column),
            (both, row, column),
            (off_row - column + both, off_row, off_column),
            (column - both, off_row, column),
        ):
            allowance = p * not_q / (examples * ALPHA)
            found += 2 * int(((exceptions <= allowance) & (allowance > 1) & later).sum())
    return found


def against_products(sizes: Sizes) -> Figures:
    """Counting and judging all pairs against one product of zeros and ones and the same criterion on it."""
    nodes, examples = sizes.products
    bits = random_bits(nodes, examples)
    ones = torch.from_numpy(np.unpackbits(bits.words.view(np.uint8), axis=1, bitorder="little"))
    on = torch.tensor(bits.on())
    floats, bytes_ = ones.float(), ones.to(torch.int8)
    calls = {
        "ours": lambda: len(find(bits, alpha=ALPHA)),
        "float32": lambda: judged((floats @ floats.T).__getitem__, on, examples),
        "int8": lambda: judged(torch._int_mm(bytes_, bytes_.T).__getitem__, on, examples),
    }
    counts = {name: call() for name, call in calls.items()}
    if len(set(counts.values())) != 1:
        raise WrongResultError(f"the ways disagree on the number of implications: {counts}")
    seconds = median_seconds(calls, rounds=min(sizes.rounds, 3))
    what = f"N = {nodes:,}, n = {examples:,}, {torch.get_num_threads()} threads"
    return {
        "pairs_rate_vs_torch_float32": (seconds["float32"] / seconds["ours"], f"times as fast, {what}"),
        "pairs_rate_vs_torch_int8": (seconds["int8"] / seconds["ours"], f"times as fast, {what}"),
        "seconds": (seconds["ours"], f"{counts['ours']:,} implications, {what}"),
    }


@numba.njit(parallel=True)
def in_registers(rows, repeats):  # type: ignore[no-untyped-def]
    """The innermost block on rows that lie in the first cache, on every thread."""
    step, total = 8 * rows.shape[2], np.zeros(rows.shape[0], np.int64)
    for thread in numba.prange(rows.shape[0]):
        out, start = np.zeros(BLOCK * BLOCK, np.int64), rows[thread].ctypes.data
        for _ in range(repeats):
            common(
                (start, start + step, start + 2 * step),
                (start + 3 * step, start + 4 * step, start + 5 * step),
                rows.shape[2],
                out.ctypes.data,
            )
            total[thread] += out[0]
    return total


def against_registers(sizes: Sizes) -> Figures:
    """The share of the speed of the innermost block that the whole of mining keeps."""
    (nodes, examples), words = sizes.registers, 512
    threads = numba.get_num_threads()
    bits = random_bits(nodes, examples)
    rows = zeros(threads * 2 * BLOCK, words).reshape(threads, 2 * BLOCK, words)
    rows[:] = np.random.default_rng(0).integers(0, 2**64, rows.shape, dtype=np.uint64)
    pair_bits = nodes * (nodes - 1) / 2 * examples
    repeats = 1 + int(pair_bits / (threads * BLOCK * BLOCK * words * 64))
    calls = {"ours": lambda: find(bits, alpha=ALPHA), "peak": lambda: in_registers(rows, repeats)}
    seconds = median_seconds(calls, sizes.rounds)
    peak = repeats * threads * BLOCK * BLOCK * words * 64 / seconds["peak"]
    return {
        "fraction_of_popcount_peak": (
            pair_bits / seconds["ours"] / peak,
            f"of the block on {2 * BLOCK} rows in the first cache",
        ),
        "pair_bits_per_second": (pair_bits / seconds["ours"], f"{threads} threads; {peak:.3g} in the first cache"),
    }


def whole_vit(sizes: Sizes) -> Figures:
    """Every MLP unit of a ViT-B/16 over 65,536 examples, bits given."""
    nodes, examples = sizes.vit
    bits = random_bits(nodes, examples)
    find(random_bits(64, 640), alpha=ALPHA)
    seconds, found = 0.0, None

    def mine() -> None:
        nonlocal seconds, found
        started = time.perf_counter()
        found = find(bits, alpha=ALPHA)
        seconds = time.perf_counter() - started

    extra = peak_extra(mine)
    edges = sum(column.nbytes for column in (found.antecedents, found.consequents, found.exceptions))
    return {
        "seconds_36864_by_65536": (seconds, f"{len(found):,} implications; one run"),
        "extra_bytes_over_bits": ((extra - edges) / bits.words.nbytes, f"of {bits.words.nbytes:,} bytes of bits"),
    }


def against_outer_products(sizes: Sizes) -> Figures:
    """The way of 2022: an outer product per example, then a Python loop over pairs of literals; extrapolated."""
    (nodes, examples), few, rows = sizes.outer, 400, 4
    bits = random_bits(nodes, examples)
    values = bits.to_bool()
    both, others = np.zeros((2, nodes, nodes), np.int64)
    started = time.perf_counter()
    for row in values[:few]:
        both += np.outer(row, row)
        for first, second in ((row, ~row), (~row, row), (~row, ~row)):
            others += np.outer(first, second)
    counting = (time.perf_counter() - started) / few * examples
    on, n, found = both.diagonal(), len(values), 0
    started = time.perf_counter()
    for i in range(rows):
        for j in range(nodes):
            for exceptions in (on[i] - both[i, j], both[i, j], n - on[i] - on[j] + both[i, j], on[j] - both[i, j]):
                allowance = on[i] * (n - on[j]) / (n * ALPHA)
                found += exceptions <= allowance and allowance > 1
    judging = (time.perf_counter() - started) / rows * nodes
    ours = median_seconds({"ours": lambda: find(bits, alpha=ALPHA)}, sizes.rounds)["ours"]
    what = f"times as fast, N = {nodes}, n = {examples:,}; extrapolated from {few} examples and {rows} rows of pairs"
    return {"vs_outer_products": ((counting + judging) / ours, what)}


def against_itemsets(sizes: Sizes) -> Figures:
    """Packages for frequent itemsets, asked for the counts of all pairs of nodes that are on, no rule judged.

    Of their algorithms `apriori` is the quickest here: every node is frequent, so that trees do not help.
    """
    nodes, examples = sizes.itemsets
    bits = random_bits(nodes, examples)
    values = bits.to_bool()
    calls: dict[str, Callable[[], object]] = {"ours": lambda: find(bits, alpha=ALPHA)}
    if importlib.util.find_spec("mlxtend"):
        import pandas as pd
        from mlxtend.frequent_patterns import apriori

        frame = pd.DataFrame(values)
        calls["vs_mlxtend"] = lambda: apriori(frame, min_support=1e-4, max_len=2)
    if importlib.util.find_spec("fim"):
        import fim

        transactions = [np.flatnonzero(row).tolist() for row in values]
        calls["vs_pyfim"] = lambda: fim.apriori(transactions, target="s", supp=-1, zmin=2, zmax=2)
    seconds = {"ours": median_seconds({"ours": calls.pop("ours")}, sizes.rounds + 2)["ours"]}
    for name, call in calls.items():
        started = time.perf_counter()
        call()
        seconds[name] = time.perf_counter() - started
    what = f"times as fast, N = {nodes}, n = {examples:,}, all pairs of nodes; the package ran once"
    return {name: (spent / seconds["ours"], what) for name, spent in seconds.items() if name != "ours"}


def exponents(sizes: Sizes) -> Figures:
    """How seconds grow with nodes and with examples."""

    def slope(lengths: Iterable[int], make: Callable[[int], BitMatrix]) -> float:
        made = {str(length): make(length) for length in lengths}
        calls = {name: (lambda bits=bits: find(bits, alpha=ALPHA)) for name, bits in made.items()}
        seconds = median_seconds(calls, min(sizes.rounds, 5))
        return float(np.polyfit(np.log([float(name) for name in seconds]), np.log(list(seconds.values())), 1)[0])

    nodes, examples = sizes.by_nodes[1], sizes.by_examples[0]
    return {
        "exponent_n": (slope(sizes.by_nodes, lambda n: random_bits(n, examples)), f"n = {examples:,}"),
        "exponent_examples": (slope(sizes.by_examples, lambda n: random_bits(nodes, n)), f"N = {nodes:,}"),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__).parse_args(arguments)
    sizes = QUICK if options.quick else Sizes()
    own = (against_products, against_registers, against_outer_products, against_itemsets, exponents, whole_vit)
    parts: dict[str, Part] = {part.__name__: partial(part, sizes) for part in own}
    return run(parts | capture.parts(options.quick) | graph.parts(options.quick), options)


if __name__ == "__main__":
    raise SystemExit(main())
