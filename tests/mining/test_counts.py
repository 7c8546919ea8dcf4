"""Laws of the counts, and agreement with a slow reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ndg.bits.matrix import BitMatrix
from ndg.errors import ShapeError
from ndg.mining.counters import count
from ndg.nodes import NodeSpace
from tests.references import mining as slow

CELLS = [(a, b) for a in (True, False) for b in (True, False)]
tables = st.integers(1, 9).flatmap(lambda nodes: arrays(bool, st.tuples(st.integers(0, 70), st.just(nodes))))


def packed(values: np.ndarray) -> BitMatrix:
    return BitMatrix.from_bool(values, NodeSpace(values.shape[1]))


@given(tables)
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize(("first", "second"), CELLS)
def test_each_cell_is_what_the_definition_counts(first, second, values):
    cell = count(packed(values)).cell(first, second)
    for i in range(values.shape[1]):
        for j in range(values.shape[1]):
            assert cell[i, j] == slow.count(values, (i, first), (j, second))


@given(tables)
@settings(deadline=None)
def test_counts_are_symmetric_and_the_four_cells_are_all_the_examples(values):
    counts = count(packed(values))
    assert (counts.both == counts.both.T).all()
    assert (sum(counts.cell(*values) for values in CELLS) == len(values)).all()


@given(tables, st.integers(0, 70))
@settings(deadline=None)
def test_counts_of_two_parts_add_up_to_the_counts_of_the_whole(values, cut):
    whole, parts = count(packed(values)), count(packed(values[:cut])) + count(packed(values[cut:]))
    assert (whole.both == parts.both).all()
    assert (whole.rows == parts.rows).all()
    assert whole.examples == parts.examples


def test_counts_of_other_nodes_do_not_add_up():
    with pytest.raises(ShapeError, match=r"over the same nodes: expected \(2, 2\), got \(3, 3\)"):
        _ = count(packed(np.ones((4, 2), bool))) + count(packed(np.ones((4, 3), bool)))


@pytest.mark.parametrize("examples", [1, 63, 64, 65, 1000])
@pytest.mark.parametrize("nodes", [1, 3, 4, 5, 8, 33])
def test_counts_of_every_part_of_the_pairs_agree(examples, nodes):
    values = np.random.default_rng(0).random((examples, nodes)) < 0.4
    expected = values.T.astype(np.int64) @ values
    for rows in (slice(0, nodes), slice(0, 1), slice(nodes // 2, nodes)):
        for columns in (slice(0, nodes), slice(nodes // 3, nodes)):
            assert (count(packed(values), rows, columns).both == expected[rows, columns]).all()


@pytest.mark.parametrize("shape", [(130, 300, 1), (70, 520, 33), (5, 3, 66_000)])
def test_sides_that_fill_several_strips_panels_and_depths(shape):
    height, width, examples = shape
    values = np.random.default_rng(1).random((examples, height + width)) < 0.5
    both = count(packed(values), slice(0, height), slice(height, height + width)).both
    assert (both == values[:, :height].T.astype(np.int64) @ values[:, height:]).all()
