"""Verdict on a trial: does the graph beat the class prototype?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Figures = Mapping[str, Any]
"""Those of `TrialResult.to_dict()`, as the run log keeps them."""

LARGER = 1.1
"""From how many times as many neurons changed on a choice is called larger."""

KEPT = 0.9
"""Share of the correct predictions that must survive binarising before anything is concluded."""

SIGNIFICANT = 0.05
"""Corrected p-value below which a difference counts."""

TINY = 1e-300
"""Smallest p-value that is shown."""


def survives(figures: Figures) -> bool:
    """Whether enough correct predictions survive binarising alone."""
    kept = figures.get("kept")
    return kept is None or kept >= figures.get("kept_at_least", KEPT) * figures["n"]


def better(figures: Figures) -> bool | None:
    """Whether the paired difference to the prototype is above zero.

    None without a verdict.
    """
    if figures.get("selectivity_low") is None or not figures["neurons_set"] or not survives(figures):
        return None
    return bool(figures["selectivity_low"] > 0 and _significant(figures))


def _significant(figures: Figures) -> bool:
    """Whether the corrected p-value is small; old records have none."""
    p = figures.get("selectivity_p_holm")
    return p is None or p < SIGNIFICANT


def larger(figures: Figures) -> bool:
    """Whether the graph changes over 1.1 times as many neurons."""
    other = _changed(figures)
    return other is not None and figures["neurons_changed"] > LARGER * other


def verdict(figures: Figures) -> str:
    """The verdict in one sentence, with a caution if more neurons change."""
    if figures["aligned"] is None:
        return "The network predicts no example correctly, so nothing was on trial."
    if not figures["neurons_set"]:
        where = f" of {figures['layer']}" if figures.get("layer") else ""
        return f"The graph names no neuron{where}, so nothing but binarising was on trial."
    if not survives(figures):
        return (
            f"No verdict: binarising alone changes the network. Of its {figures['n']:,} correct predictions "
            f"{figures['kept'] / figures['n']:.3f} survive it, fewer than {figures.get('kept_at_least', KEPT):g}; "
            + ("try another layer." if figures.get("values") == "mean" else "write mean values, or try another layer.")
        )
    low, high = figures.get("selectivity_low"), figures.get("selectivity_high")
    if low is None or high is None:
        return "The run has no interval of the difference to the prototype, so nothing is concluded from it."
    value = figures["selectivity"]
    difference = f"difference {100 * value:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]{_rates(figures)}"
    significant = _significant(figures)
    if low > 0 and significant:
        caution = (
            f" It really changes {figures['neurons_changed']:.1f} neurons where the prototype changes "
            f"{_changed(figures):.1f}: part of the difference may be size."
            if larger(figures)
            else ""
        )
        return f"The graph's choice is better than the strongest class prototype: {difference}.{caution}"
    if high < 0 and significant:
        return f"The graph's choice is worse than the strongest class prototype: {difference}."
    return f"The graph's choice is not better than the strongest class prototype: {difference}."


def _rates(figures: Figures) -> str:
    """Both rates, the share kept by binarising and the p-value, if recorded."""
    control, kept, p = (figures.get(name) for name in ("selectivity_control", "kept", "selectivity_p"))
    other = figures.get("controls", {}).get(control, {}).get("aligned")
    words = "" if other is None else f", aligned {figures['aligned']:.3f} against {other:.3f} ({control})"
    if kept is not None:
        words += f"; {kept / figures['n']:.3f} kept by binarising alone"
    if p is not None:
        tests = figures.get("selectivity_tests", 1)
        corrected = f", {_p(figures['selectivity_p_holm'], '')} corrected for {tests} interventions (Holm)"
        words += f"; exact paired p {_p(p, '= ')}{corrected if tests > 1 else ''}"
    return words


def _changed(figures: Figures) -> float | None:
    return figures.get("controls", {}).get(figures.get("selectivity_control"), {}).get("neurons_changed")


def _p(value: float, equal: str) -> str:
    """A p-value; one that no float holds is below the smallest shown."""
    return f"{equal}{value:.2g}" if value >= TINY else f"< {TINY:g}"
