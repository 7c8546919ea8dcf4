"""One verdict, from the record of a trial alone."""

from __future__ import annotations

import pytest

from ndg.abstraction.verdict import LARGER, better, larger, survives, verdict
from ndg.intervals import holm


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
            "The graph's choice is better than the strongest class prototype: difference +3.0 points "
            "[+1.0, +5.0], aligned 0.600 against 0.570 (prototype_surest).",
        ),
        (0.0, 0.05, False, "The graph's choice is not better than the strongest class prototype: difference"),
        (-0.07, 0.0, False, "The graph's choice is not better than"),
        (-0.07, -0.01, False, "The graph's choice is worse than the strongest class prototype: difference"),
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
        "really changes 2.1 neurons where the prototype changes 1.9: part of the difference may be size."
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


@pytest.mark.parametrize(
    ("kept", "least", "concluded"), [(90, 0.9, True), (89, 0.9, False), (89, 0.8, True), (23, 0.9, False)]
)
def test_there_is_no_verdict_where_binarising_alone_changes_the_network(figures, kept, least, concluded):
    figures |= {"kept": kept, "n": 100, "kept_at_least": least}
    assert survives(figures) is concluded
    assert better(figures) is (True if concluded else None)
    if concluded:
        assert f"; 0.{kept}0 kept by binarising alone" in verdict(figures)
    else:
        assert verdict(figures) == (
            f"No verdict: binarising alone changes the network. Of its 100 correct predictions 0.{kept}0 survive it, "
            "fewer than 0.9; write mean values, or try another layer."
        )
        assert "write" not in verdict(figures | {"values": "mean"})


def test_a_verdict_is_corrected_for_the_interventions_of_the_run(figures):
    figures |= {"selectivity_p": 0.02, "selectivity_p_holm": 0.06, "selectivity_tests": 3}
    assert better(figures) is False
    assert "is not better" in verdict(figures)
    assert verdict(figures).endswith("exact paired p = 0.02, 0.06 corrected for 3 interventions (Holm).")
    figures |= {"selectivity_p": 0.0, "selectivity_p_holm": 0.0}
    assert verdict(figures).endswith("exact paired p < 1e-300, < 1e-300 corrected for 3 interventions (Holm).")
    assert better(figures | {"selectivity_p_holm": 0.04}) is True


def test_holm_is_that_of_the_paper():
    """The adjusted values of Holm 1979: the k-th smallest of m times m - k + 1, never falling."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_more_neurons_are_larger_beyond_a_tenth_more(figures):
    figures["neurons_changed"] = LARGER * 1.9
    assert not larger(figures)
    figures["neurons_changed"] += 0.01
    assert larger(figures)
