"""Verdict on a trial: does the graph beat the class prototype?

`figures` are those of `TrialResult.to_dict()`, as the run log keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Figures = Mapping[str, Any]

LARGER = 1.1
"""From how many times as many neurons changed on a choice is called larger."""


def better(figures: Figures) -> bool | None:
    """Whether the paired difference to the prototype is above zero."""
    if figures.get("selectivity_low") is None or not figures["neurons_set"]:
        return None
    return bool(figures["selectivity_low"] > 0)


def larger(figures: Figures) -> bool:
    """Whether the graph changes over 1.1 times as many neurons."""
    other = _changed(figures)
    return other is not None and figures["neurons_changed"] > LARGER * other


def verdict(figures: Figures) -> str:
    """The verdict in one sentence, with a caution.

    The caution is for a better choice that also changes more neurons. Without an interval nothing is concluded.
    """
    if figures["aligned"] is None:
        return "The network predicts no example correctly, so nothing was on trial."
    if not figures["neurons_set"]:
        where = f" of {figures['layer']}" if figures.get("layer") else ""
        return f"The graph names no neuron{where}, so nothing but binarising was on trial."
    low, high = figures.get("selectivity_low"), figures.get("selectivity_high")
    if low is None or high is None:
        return "The run has no interval of the difference to the prototype, so nothing is concluded from it."
    value = figures["selectivity"]
    difference = f"difference {100 * value:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]{_rates(figures)}"
    if low > 0:
        caution = (
            f" It sets as many neurons, but it really changes {figures['neurons_changed']:.1f} of them where the "
            f"prototype changes {_changed(figures):.1f}: part of the difference may be size."
            if larger(figures)
            else ""
        )
        return f"The graph's choice is better than the better prototype of the same size: {difference}.{caution}"
    if high < 0:
        return f"The graph's choice is worse than the better prototype of the same size: {difference}."
    return f"The graph's choice is not better than the class prototype of the same size: {difference}."


def _rates(figures: Figures) -> str:
    """Both rates, if the record has the prototype's."""
    control = figures.get("selectivity_control")
    other = figures.get("controls", {}).get(control, {}).get("aligned")
    return "" if other is None else f", aligned {figures['aligned']:.3f} against {other:.3f} ({control})"


def _changed(figures: Figures) -> float | None:
    return figures.get("controls", {}).get(figures.get("selectivity_control"), {}).get("neurons_changed")
