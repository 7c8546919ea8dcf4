"""Units on which a score and the damage disagree: where each kind begins, worked by hand."""

from __future__ import annotations

import numpy as np

from ndg.importance.evaluation.saturation import APART, FEWEST, NEAR_ZERO, disagreements
from ndg.importance.scores import Scores


def scores(values: list[float], measure: str = "logits") -> Scores:
    facts = {"target": "predicted class", "baseline": "zero", "examples": 10}
    return Scores(method="any", values={"a": np.array(values)}, whole={"a": 0.0}, measure=measure, **facts)


def kinds(score: list[float], damage: list[float], measure: str = "logits") -> dict[int, str]:
    """Kind of disagreement by unit."""
    return {row["unit"]: row["kind"] for row in disagreements(scores(score, measure), scores(damage))}


def test_ranks_that_differ_by_half_of_the_units_disagree():
    assert APART == 0.5
    damage = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    three_places = [3.0, 6.0, 5.0, 4.0, 2.0, 1.0]  # unit 0 falls to the fourth place, the others move by one
    assert kinds(three_places, damage) == {0: "ranked lower"}
    assert kinds(damage, three_places) == {0: "ranked higher"}
    two_places = [4.0, 6.0, 5.0, 3.0, 2.0, 1.0]
    assert kinds(two_places, damage) == {}


def test_ranks_are_compared_from_four_units_on():
    assert FEWEST == 4
    assert kinds([2.0, 4.0, 3.0, 1.0], [4.0, 3.0, 2.0, 1.0]) == {0: "ranked lower"}
    assert kinds([1.0, 3.0, 2.0], [3.0, 2.0, 1.0]) == {}


def test_a_score_of_a_tenth_of_the_damage_does_not_miss_it():
    assert NEAR_ZERO == 0.1
    damage = [1.0, 2.0, 4.0, 8.0, 10.0]
    assert kinds([1.0, 1.0, 1.0, 1.0, np.nextafter(1.0, 0)], damage)[4] == "saturated"
    assert kinds([0.2, 0.4, 0.6, 0.8, 1.0], damage) == {}


def test_damage_of_a_tenth_of_the_score_does_not_make_it_up():
    score = [1.0, 2.0, 4.0, 8.0, 10.0]
    assert kinds(score, [1.0, 1.0, 1.0, 1.0, np.nextafter(1.0, 0)])[4] == "overstated"
    assert kinds(score, [0.2, 0.4, 0.6, 0.8, 1.0]) == {}


def test_a_value_at_the_median_of_its_layer_may_be_missed():
    """The third of five units is the median: neither its damage nor its score counts as large."""
    assert kinds([2.0, 3.0, 0.1, 4.0, 5.0], [2.0, 3.0, 3.0, 4.0, 5.0]) == {}
    assert kinds([2.0, 3.0, 3.0, 4.0, 5.0], [2.0, 3.0, 0.1, 4.0, 5.0]) == {}


def test_values_in_another_measure_are_compared_by_rank_alone():
    assert kinds([0.0, 0.0, 0.0, 0.01, 0.02], [1.0, 2.0, 3.0, 4.0, 5.0], measure="nats") == {}
