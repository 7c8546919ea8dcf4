"""Closures of many sets at once equal those of each."""

from __future__ import annotations

import numpy as np
import pytest

from ndg.errors import ShapeError
from ndg.literal import Literal
from tests.abstraction.test_trial_reference import random_graph


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 130])
def test_every_row_has_the_closure_of_its_set(rows):
    for seed in range(4):
        graph = random_graph(3, 6 + 3 * seed, seed)
        marked = np.random.default_rng(seed).random((rows, 2 * len(graph.nodes))) < 0.15
        found = graph.closures(marked)
        assert found.shape == marked.shape
        for row in range(rows):
            literals = map(Literal.of, np.flatnonzero(marked[row]).tolist())
            assert np.array_equal(found[row], graph.closure(literals).marked)


def test_sets_are_over_the_literals_of_the_graph():
    with pytest.raises(ShapeError, match=r"\[row, 22\], over the literals of the graph; got bool of shape \(2, 5\)"):
        random_graph(3, 6, 0).closures(np.zeros((2, 5), np.bool_))
