"""The plan of fast ablation, worked by hand: what its passes cost and where its parts end."""

from __future__ import annotations

import pytest

from ndg.importance.methods.fast.plan import ABLATED, FEWEST, plan


def cost(layers: list[int], made, ablated: int) -> float:
    """First-order effects: a forward pass, carrying, and two for each direction on each example. Ablation: a pass for
    each unit and example, and beside it two for each layer, two for the network, two for each direction."""
    first = made.examples * (2 + 2 * made.directions)
    return first + ablated * (sum(layers) + 2 * len(layers) + 2 + 2 * made.on_ablated)


@pytest.mark.parametrize("funds", [1042, 1075, 1076])
def test_ablation_gets_all_that_first_order_effects_leave(funds):
    """Two layers of 10 units, 100 examples, 4 logits: 600 passes for 2 directions, then 34 for each ablated example."""
    made = plan([10, 10], 100, 4, 0.9, before=1800 - funds)
    assert (made.examples, made.directions) == (100, 2)
    assert made.ablated == (funds - 600) // 34
    assert cost([10, 10], made, made.ablated) <= funds < cost([10, 10], made, made.ablated + 1)


def test_what_is_spent_before_is_not_spent_again():
    whole = plan([20, 20], 200, 10, 0.5)
    less = plan([20, 20], 200, 10, 0.5, before=1000)
    assert cost([20, 20], less, less.ablated) <= 0.5 * 8000 - 1000 < cost([20, 20], whole, whole.ablated)
    assert less.exact == whole.exact == 8000


def test_one_direction_is_taken_on_all_examples_where_there_is_enough_for_it():
    """400 passes are one direction on all 100 examples; what is left of 400 beside two ablations is so on 83."""
    layers, examples, logits = [30, 30], 100, 10
    enough, less = (plan(layers, examples, logits, budget) for budget in (700 / 6000, 400 / 6000))
    assert (enough.directions, enough.examples) == (1, 100)
    assert (less.directions, less.examples) == (1, (400 - ABLATED * 34) // 4)
    assert plan(layers, examples, logits, 1 / 6000).examples == FEWEST


def test_with_enough_for_two_ablations_of_each_unit_all_units_are_ablated():
    """Two layers of 20, 40 examples, 10 logits: 160 passes for one direction, 66 for each ablated example."""
    layers = [20, 20]
    made = plan(layers, 40, 10, (160 + ABLATED * 66) / 1600 + 1e-9)
    assert (made.examples, made.directions, made.ablated, made.share) == (40, 1, ABLATED, 1.0)
    less = plan(layers, 40, 10, (160 + ABLATED * 66 - 8) / 1600)
    assert less.ablated == ABLATED
    assert less.share < 1
