"""Counting all pairs and judging them, against a dense float product and against the loops of 2022.

python -m benchmarks.mining [--json FILE]
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.timing import median_seconds, report
from ndg.bits.matrix import BitMatrix
from ndg.mining.miner import find
from ndg.nodes import LayerUnits, NodeSpace

NODES, EXAMPLES = 2048, 16384


def dense(values: torch.Tensor, alpha: float) -> int:
    """The implications by one float32 product of all booleans, then the same criterion on whole matrices."""
    both = (values.T @ values).to(torch.int64)
    on, n = both.diagonal(), len(values)
    found = 0
    for p in (True, False):
        for q in (True, False):
            n_p, n_not_q = (on if p else n - on)[:, None], (n - on if q else on)[None, :]
            exceptions = {
                (True, True): on[:, None] - both,
                (True, False): both,
                (False, True): n - on[:, None] - on[None, :] + both,
                (False, False): on[None, :] - both,
            }[p, q]
            allowance = (n_p * n_not_q) / (n * alpha)
            holds = (exceptions <= allowance) & (allowance > 1)
            found += int(holds.sum() - holds.diagonal().sum())
    return found


def outer_products(values: np.ndarray, alpha: float) -> int:
    """The 2022 method: an outer product per example, then a Python loop over pairs."""
    nodes = values.shape[1]
    both = np.zeros((nodes, nodes), np.int64)
    for row in values:
        both += np.outer(row, row)
    on, n, found = both.diagonal(), len(values), 0
    for i in range(nodes):
        for j in range(nodes):
            if i != j:
                exceptions = on[i] - both[i, j]
                allowance = on[i] * (n - on[j]) / (n * alpha)
                found += exceptions <= allowance and allowance > 1
    return int(found)


def main() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((EXAMPLES, NODES)) < rng.uniform(0.2, 0.8, NODES)
    values[:, 1::7] = values[:, 0:-1:7] | (rng.random((EXAMPLES, 1)) < 0.01)  # planted
    neurons = BitMatrix.from_bool(values, _neurons(NODES))
    floats = torch.from_numpy(values).float()
    ours = len(find(neurons, alpha=20))
    theirs = dense(floats, 20.0)
    if ours != theirs:
        raise SystemExit(f"the two ways disagree: {ours} implications against {theirs}")
    seconds = median_seconds({"ours": lambda: find(neurons, alpha=20), "torch": lambda: dense(floats, 20.0)}, rounds=5)

    few, some = values[:500, :128], BitMatrix.from_bool(values[:500, :128], _neurons(128))
    small = median_seconds({"ours": lambda: find(some, alpha=20), "2022": lambda: outer_products(few, 20.0)}, rounds=3)
    report(
        "mining",
        {
            "pairs_rate_vs_torch_float32": (
                seconds["torch"] / seconds["ours"],
                f"times as fast as X.T @ X and the same criterion, N = {NODES}, n = {EXAMPLES}",
            ),
            "seconds": (seconds["ours"], f"{ours} implications"),
            "vs_outer_products": (small["2022"] / small["ours"], "times as fast as the loops, N = 128, n = 500"),
        },
    )


def _neurons(count: int) -> NodeSpace:
    return NodeSpace(0, (LayerUnits("x", count),))


if __name__ == "__main__":
    main()
