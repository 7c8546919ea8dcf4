"""One verdict, from the record of a trial alone."""

from __future__ import annotations

import pytest

from ndg.abstraction.verdict import better, larger, verdict


@pytest.fixture
def figures() -> dict:
    return {
        "aligned": 0.6,
        "neurons_set": 5.0,
        "neurons_changed": 2.0,
        "selectivity": 0.03,
        "selectivity_low": 0.01,
        "selectivity_high": 0.05,
        "selectivity_control": "prototype_surest",
        "controls": {"prototype_surest": {"aligned": 0.57, "neurons_changed": 1.9}},
    }


@pytest.mark.parametrize(
    ("low", "high", "is_better", "told"),
    [
        (
            0.01,
            0.05,
            True,
            "The graph's choice is better than the better prototype of the same size: difference +3.0 points "
            "[+1.0, +5.0], aligned 0.600 against 0.570 (prototype_surest).",
        ),
        (0.0, 0.05, False, "The graph's choice is not better than the class prototype of the same size: difference"),
        (-0.07, 0.0, False, "The graph's choice is not better than"),
        (-0.07, -0.01, False, "The graph's choice is worse than the better prototype of the same size: difference"),
        (None, None, None, "The run has no interval of the difference to the prototype, so nothing is concluded"),
    ],
)
def test_the_verdict_follows_the_interval(figures, low, high, is_better, told):
    figures |= {"selectivity_low": low, "selectivity_high": high}
    assert better(figures) is is_better
    assert verdict(figures).startswith(told)
    assert verdict(figures).count(".") == told.count(".") or not told.endswith(".")


def test_a_larger_choice_is_cautioned(figures):
    assert not larger(figures)
    figures["neurons_changed"] = 2.1
    assert larger(figures)
    assert verdict(figures).endswith(
        "really changes 2.1 of them where the prototype changes 1.9: part of the difference may be size."
    )
    figures |= {"selectivity_low": -0.01}
    assert "size." not in verdict(figures)
    assert not larger({**figures, "controls": {}})


def test_nothing_is_concluded_where_nothing_was_on_trial(figures):
    assert verdict(figures | {"neurons_set": 0.0, "layer": "latent"}) == (
        "The graph names no neuron of latent, so nothing but binarising was on trial."
    )
    assert better(figures | {"neurons_set": 0.0}) is None
    none = figures | {"aligned": None, "neurons_set": None, "selectivity_low": None}
    assert verdict(none) == "The network predicts no example correctly, so nothing was on trial."
    assert better(none) is None
