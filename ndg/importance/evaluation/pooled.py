"""Mean scoreboard of several trainings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ndg.importance.evaluation.agreement import STATISTICS, Agreement, Estimate, averaged
from ndg.importance.evaluation.scoreboard import Scoreboard

COSTS = ("seconds", "forwards", "backwards", "passed")


def over(boards: Sequence[Scoreboard], network: str) -> list[dict[str, Any]]:
    """One row per method: means over trainings with bootstrap intervals over units.

    `spearman_within_least` and `_most` are extremes over trainings. A method that fails on a training is left out.
    """
    names = list(dict.fromkeys(entry.method for board in boards for entry in board.entries))
    rows = [_row(name, boards, network) for name in names]
    null, size = [board.null for board in boards], {"networks": len(boards)}
    truth = {
        "seconds": _mean([board.truth_seconds for board in boards]),
        "passed": _mean([board.truth.facts.get("passed") for board in boards]),
    }
    rows.append({"network": network, "method": null[0].score, "title": "null"} | _figures(null) | size)
    rows.append({"network": network, "method": boards[0].truth.method, "title": "truth"} | truth | size)
    return rows


def _row(name: str, boards: Sequence[Scoreboard], network: str) -> dict[str, Any]:
    entries = [entry for board in boards for entry in board.entries if entry.method == name]
    row: dict[str, Any] = {"network": network, "method": name, "title": entries[0].title, "networks": len(entries)}
    agreements = [entry.agreement for entry in entries if entry.agreement is not None]
    if len(agreements) < len(boards):
        return row | {"refused": next((entry.refused for entry in entries if entry.refused), "not scored everywhere")}
    return row | {
        **_figures(agreements),
        "partly": next((entry.partly for entry in entries if entry.partly), None),
        **averaged([entry.margin for entry in entries]).columns("margin"),
        **{what: _mean([getattr(entry, what) for entry in entries]) for what in COSTS},
    }


def _figures(agreements: Sequence[Agreement]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for suffix, side in {"": "pooled", "_within": "within"}.items():
        for statistic in STATISTICS:
            each: list[Estimate] = [getattr(agreement, side)[statistic] for agreement in agreements]
            mean, name = averaged(each), f"{statistic}{suffix}"
            columns |= {**mean.columns(name), f"n{suffix}": mean.n}
            known = [estimate.value for estimate in each if estimate.value is not None]
            if statistic == "spearman" and known:
                columns |= {f"{name}_least": min(known), f"{name}_most": max(known)}
    return columns


def _mean(values: Sequence[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
