"""The graph's order of the neurons that it sets: the most specific first."""

from __future__ import annotations

import numpy as np

from ndg.abstraction.controls import GRAPH, Prototypes
from ndg.abstraction.orders import Orders, sizes
from ndg.interventions.intervention_sets import Choices
from ndg.interventions.prototypes import ORDERS, Ranked

ONE_EXAMPLE = np.array([0])


def order(on: list[float], off: list[float], toward_on: list[int], toward_off: list[int], against_on: list[int]):
    """Places and booleans of four units for an example of class 0 and the alternative class 1.

    `on[u]`, `off[u]` are P(class 1 predicted | unit u is on, off). Class 1 asks for units on and off, class 0 asks for
    units on that are therefore set off; P(class 0 predicted | unit is on) is 0.6 for all units.
    """

    def row(units: list[int], label: int) -> np.ndarray:
        mask = np.zeros((2, 4), np.bool_)
        mask[label, units] = True
        return mask

    specific = np.array([[[0.1] * 4, off], [[0.6] * 4, on]])
    nothing = np.zeros((2, 4), np.bool_)
    choices = Choices(row(toward_on, 1), row(toward_off, 1), row(against_on, 0), nothing, np.zeros(2, np.bool_))
    prototypes = Prototypes(dict.fromkeys(ORDERS, Ranked(np.tile(np.arange(4), (2, 1)), nothing)))
    settings = Orders(sizes(4), specific, {}).settings(
        choices, prototypes, 0, ONE_EXAMPLE, np.array([0]), np.array([1])
    )
    places, values = settings[GRAPH]
    return places[0].tolist(), values[0].tolist()


def test_the_most_specific_neuron_is_set_first():
    places, values = order([0.2, 0.9, 0.5, 0.7], [0.0] * 4, [0, 1, 2], [], [])
    assert places == [2, 0, 1, 4]  # the last is never set
    assert values == [True, True, True, False]


def test_a_neuron_that_is_set_off_counts_by_its_off_literal():
    places, values = order([0.9] * 4, [0.3, 0.8, 0.1, 0.2], [], [0, 1, 2], [])
    assert places == [1, 0, 2, 4]
    assert values == [False] * 4


def test_a_neuron_counts_by_the_class_that_asks_for_it():
    """Unit 3 is against class 0, for which it speaks with 0.6: between the 0.7 and the 0.5 of class 1."""
    places, values = order([0.5, 0.7, 0.0, 0.99], [0.0] * 4, [0, 1], [], [3])
    assert places == [2, 0, 4, 1]
    assert values == [True, True, False, False]


def test_equally_specific_neurons_are_set_by_index():
    assert order([0.5] * 4, [0.0] * 4, [0, 1, 2, 3], [], [])[0] == [0, 1, 2, 3]
