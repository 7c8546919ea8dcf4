"""The order of removals: hand-worked cases, the identity of sums, an independent reference."""

import numpy as np
import pytest

from ndg.compression.obs import Reader, removals, removals_of_readers
from ndg.errors import ShapeError
from tests.references.compression import greedy, least_squares_error, regularised


def problem(activations: int, outputs: int, seed: int = 0, examples: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(examples, activations)) @ rng.normal(size=(activations, activations))
    return np.cov(mixed, rowvar=False), rng.normal(size=(activations, outputs))


def test_two_independent_units_by_hand():
    """Errors are squared weight times variance: 1 * 4 = 4 and 9 * 1 = 9, of 13 in all."""
    result = removals(np.diag([4.0, 1.0]), np.array([[1.0], [3.0]]), ridge=0)
    assert result.order.tolist() == [0, 1]
    np.testing.assert_allclose(result.errors, [4, 9])
    np.testing.assert_allclose(result.cumulative, [4, 13])
    assert result.variance == pytest.approx(13)
    np.testing.assert_allclose(result.relative, [4 / 13, 1])


def test_of_two_equal_units_one_costs_nothing():
    result = removals(np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([[1.0], [1.0]]), ridge=1e-9)
    np.testing.assert_allclose(result.errors, [0, 4], atol=1e-6)
    assert result.removable() == 0.5


@pytest.mark.parametrize(("block", "outputs"), [(1, 3), (1, 20), (2, 3), (4, 5)])
def test_order_and_errors_equal_the_reference(block, outputs):
    cov, outgoing = problem(12, outputs, seed=block)
    result = removals(cov, outgoing, ridge=1e-3, block=block)
    order, totals = greedy(regularised(cov, 1e-3), outgoing, block)
    assert result.order.tolist() == order
    np.testing.assert_allclose(result.cumulative, totals, rtol=1e-8)


@pytest.mark.parametrize("block", [1, 3])
def test_the_sum_of_the_removals_is_the_least_squares_error(block):
    cov, outgoing = problem(18, 4)
    result = removals(cov, outgoing, block=block)
    exact = regularised(cov, 1e-4)
    for count in (1, 3, 5):
        rows = [row for unit in result.order[:count] for row in range(unit * block, (unit + 1) * block)]
        assert result.cumulative[count - 1] == pytest.approx(least_squares_error(exact, outgoing, rows), rel=1e-8)
    assert result.cumulative[-1] == pytest.approx(np.trace(outgoing.T @ exact @ outgoing), rel=1e-8)


def test_constant_units_go_first_and_cost_nothing():
    cov, outgoing = problem(6, 3)
    cov[2] = cov[:, 2] = cov[5] = cov[:, 5] = 0
    result = removals(cov, outgoing)
    assert result.order[:2].tolist() == [2, 5]
    assert result.errors[:2].tolist() == [0, 0]
    assert (result.errors[2:] > 0).all()


def test_activations_without_variance_have_a_defined_result():
    result = removals(np.zeros((3, 3)), np.ones((3, 2)))
    assert result.order.tolist() == [0, 1, 2]
    assert result.relative.tolist() == [0, 0, 0]
    assert result.removable() == 1


def test_weights_of_zero_cost_nothing():
    cov, _ = problem(4, 1)
    result = removals(cov, np.zeros((4, 2)))
    assert not result.errors.any()
    assert not result.relative.any()


def test_scale_of_the_activations_does_not_change_the_relative_error():
    cov, outgoing = problem(8, 3)
    first, second = removals(cov, outgoing), removals(cov * 100, outgoing * 7)
    assert first.order.tolist() == second.order.tolist()
    np.testing.assert_allclose(first.relative, second.relative, rtol=1e-8)


def test_renaming_units_renames_the_order():
    cov, outgoing = problem(8, 3)
    shuffled = np.random.default_rng(1).permutation(8)
    result = removals(cov[np.ix_(shuffled, shuffled)], outgoing[shuffled])
    assert shuffled[result.order].tolist() == removals(cov, outgoing).order.tolist()


def test_two_readers_add_their_relative_errors():
    cov, outgoing = problem(6, 2)
    other_cov, other_outgoing = problem(6, 5, seed=3)
    both = removals_of_readers([Reader(cov, outgoing), Reader(other_cov, other_outgoing)], ridge=0)
    unit = [int(both.order[0])]
    shares = [
        least_squares_error(each, weights, unit) / np.trace(weights.T @ each @ weights)
        for each, weights in ((cov, outgoing), (other_cov, other_outgoing))
    ]
    assert both.errors[0] == pytest.approx(sum(shares))
    assert both.variance == 2
    assert both.relative[-1] == pytest.approx(1)


def test_a_reader_of_constant_activations_adds_no_error():
    cov, outgoing = problem(6, 2)
    alone = removals_of_readers([Reader(cov, outgoing)])
    beside = removals_of_readers([Reader(cov, outgoing), Reader(np.zeros((6, 6)), outgoing)])
    assert beside.order.tolist() == alone.order.tolist()
    np.testing.assert_allclose(beside.errors, alone.errors / alone.variance)


@pytest.mark.parametrize(
    ("cov", "outgoing", "block"),
    [(np.eye(3), np.ones((4, 1)), 1), (np.eye(3), np.ones((3, 1)), 2)],
)
def test_sizes_that_do_not_fit_are_refused(cov, outgoing, block):
    with pytest.raises(ShapeError, match="whole blocks"):
        removals(cov, outgoing, block=block)


def test_readers_of_different_units_are_refused():
    with pytest.raises(ShapeError, match="read the same units"):
        removals_of_readers([Reader(np.eye(3), np.ones((3, 1))), Reader(np.eye(4), np.ones((4, 1)))])
