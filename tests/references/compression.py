"""Slow references of `ndg.compression`: each removal solves its least-squares problem anew."""

from __future__ import annotations

import numpy as np


def regularised(cov: np.ndarray, ridge: float) -> np.ndarray:
    return cov + ridge * np.trace(cov) / len(cov) * np.eye(len(cov))


def least_squares_error(cov: np.ndarray, outgoing: np.ndarray, removed: list[int]) -> float:
    """Least expected squared change of `outgoing.T @ x` when the removed entries of x are predicted by the others."""
    kept = [index for index in range(len(cov)) if index not in removed]
    left = cov[np.ix_(removed, removed)]
    if kept:
        across = cov[np.ix_(removed, kept)]
        left = left - across @ np.linalg.solve(cov[np.ix_(kept, kept)], across.T)
    return float(np.trace(outgoing[removed].T @ left @ outgoing[removed]))


def greedy(cov: np.ndarray, outgoing: np.ndarray, block: int = 1) -> tuple[list[int], list[float]]:
    """Units in the order of removal and the error after each, by trying every unit at every step."""
    units, removed, totals = len(cov) // block, [], []
    while len(removed) < units:
        trials = {}
        for unit in range(units):
            if unit not in removed:
                rows = [row for each in (*removed, unit) for row in range(each * block, (each + 1) * block)]
                trials[unit] = least_squares_error(cov, outgoing, rows)
        best = min(trials, key=trials.__getitem__)
        removed.append(best)
        totals.append(trials[best])
    return removed, totals
