"""Where the searches for small sets stop: budgets that are just enough, and sets of equal size."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from ndg.abstraction.minimal.search import exhaust, greedy, smaller


def never(rows, sets):
    """An `ask` that nothing satisfies; larger margins for later units."""
    return np.zeros(len(rows), np.bool_), (sets * np.arange(1, sets.shape[1] + 1)).sum(axis=1).astype(float)


class Asked:
    """An `ask` that only sets of two units satisfy, and what it was asked."""

    def __init__(self) -> None:
        self.sets: list[tuple[int, ...]] = []

    def __call__(self, rows, sets):
        self.sets += [tuple(np.flatnonzero(row).tolist()) for row in sets]
        return sets.sum(axis=1) == 2, np.zeros(len(rows))


@pytest.mark.parametrize(("budget", "found"), [(9, 0), (10, 2), (11, 2)])
def test_all_sets_of_a_size_are_tried_where_the_budget_is_just_enough(budget, found):
    """Of four units there are 4 sets of one and 6 of two."""
    asked = Asked()
    smallest = exhaust(asked, np.zeros((1, 4), np.bool_), np.array([[0, 1, 2, 3]]), np.array([4]), budget)
    assert smallest.size.tolist() == [found]
    assert smallest.exact.tolist() == [found == 2]
    singles = [(unit,) for unit in range(4)]
    assert sorted(asked.sets) == sorted(singles + (list(combinations(range(4), 2)) if found else []))


@pytest.mark.parametrize(("budget", "tried"), [(3, 0), (4, 4), (6, 4), (7, 7), (9, 9), (10, 10)])
def test_a_greedy_step_is_taken_where_the_budget_is_just_enough(budget, tried):
    """Steps over four units try 4, 3, 2 and 1 sets."""
    found = greedy(never, np.ones((1, 4), np.bool_), budget)
    assert (found.size.tolist(), found.tried.tolist()) == ([0], [tried])


def test_the_first_of_two_sets_of_one_size_is_kept():
    first = np.array([[True, True, False], [True, False, False], [False, False, False], [True, True, False]])
    second = np.array([[False, True, True], [True, True, True], [False, True, False], [False, False, True]])
    assert smaller(first, second).tolist() == [
        [True, True, False],
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]
