"""Units on which a first-order score and ablation disagree (Kramár et al. 2024, AtP*)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ndg.importance.scores import Scores

NEAR_ZERO = 0.1
"""A score below this share of the damage misses it, and the other way round."""
APART = 0.5
"""Smallest rank difference that disagrees, as a share of the layer's units."""
FEWEST = 4
"""Smallest number of units for comparing the ranks of a layer."""

KINDS = {
    "saturated": "the score is near 0 and the damage is not",
    "overstated": "the damage is near 0 and the score is not",
    "ranked lower": "the score ranks the unit far below its damage",
    "ranked higher": "the score ranks the unit far above its damage",
}


def disagreements(score: Scores, truth: Scores, limit: int | None = None) -> list[dict[str, Any]]:
    """One row per unit on which two scores disagree, sorted by damage.

    `saturated` and `overstated` are above the median of the layer, for scores in one measure; ranks are within layers.
    """
    rows = [row for layer in truth.layers if layer in score.values for row in _of_layer(layer, score, truth)]
    rows.sort(key=lambda row: (-row["damage"], row["layer"], row["unit"]))
    return rows[:limit]


def counted(rows: list[dict[str, Any]]) -> Mapping[str, int]:
    """Number of disagreements of each kind."""
    return {kind: sum(row["kind"] == kind for row in rows) for kind in KINDS}


def _of_layer(layer: str, score: Scores, truth: Scores) -> list[dict[str, Any]]:
    values, damage = np.abs(score[layer]), np.abs(truth[layer])
    ranks, true_ranks = score.rank(layer), truth.rank(layer)
    alike = score.measure == truth.measure
    rows = []
    for unit in range(len(values)):
        kind = ""
        if alike and damage[unit] > np.median(damage) and values[unit] < NEAR_ZERO * damage[unit]:
            kind = "saturated"
        elif alike and values[unit] > np.median(values) and damage[unit] < NEAR_ZERO * values[unit]:
            kind = "overstated"
        elif len(values) >= FEWEST and abs(int(ranks[unit] - true_ranks[unit])) >= APART * len(values):
            kind = "ranked lower" if ranks[unit] > true_ranks[unit] else "ranked higher"
        if kind:
            rows.append(
                {
                    "layer": layer,
                    "unit": unit,
                    "node": f"{layer}:{unit}",
                    "kind": kind,
                    "score": float(values[unit]),
                    "damage": float(damage[unit]),
                    "score_rank": int(ranks[unit]),
                    "damage_rank": int(true_ranks[unit]),
                    "units": len(values),
                }
            )
    return rows
