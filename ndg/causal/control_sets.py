"""Orders of literals for a label that no intervention has fitted: prototypes, as controls of sufficient sets.

- `surest`: the units whose majority boolean is most probable given the class;
- `contrast`: the units with the largest |P(on | class) - P(on | other classes)|;
- `log_odds`: those with the largest ratio of odds between the two.

Every unit is set to the boolean that is more probable given the class, for `contrast` and `log_odds` than elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import nn

from ndg.bits.matrix import BitMatrix
from ndg.causal.forced import ForcedCounts, ForcedSets
from ndg.graph.ndg import NDG
from ndg.interventions import substitution
from ndg.interventions.passes import Passes
from ndg.literal import Literal
from ndg.nodes import LABEL
from ndg.options import RunOptions
from ndg.run_study import placed, run_batches

SUREST, CONTRAST, LOG_ODDS = "surest", "contrast", "log odds"
ORDERS = (SUREST, CONTRAST, LOG_ODDS)


def prototype_order(bits: BitMatrix, layer: str, label: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Units in the order of that name, and the boolean of every unit."""
    own = bits.to_bool(LABEL)[:, label]
    on = bits.to_bool(layer)
    given = (on[own].sum(axis=0) + 1) / (own.sum() + 2)
    other = (on[~own].sum(axis=0) + 1) / ((~own).sum() + 2)
    if name == SUREST:
        strength, booleans = np.maximum(given, 1 - given), given > 0.5
    elif name == CONTRAST:
        strength, booleans = np.abs(given - other), given > other
    else:
        odds = np.log(given / (1 - given)) - np.log(other / (1 - other))
        strength, booleans = np.abs(odds), odds > 0
    return np.argsort(-strength, kind="stable"), booleans


def prototype_sets(
    model: nn.Module,
    graph: NDG,
    bits: BitMatrix,
    fit: Iterable[Any],
    test: Iterable[Any],
    layer: str,
    sizes: Sequence[int],
    *,
    options: RunOptions = RunOptions(),
) -> dict[str, ForcedCounts]:
    """What each order's first `sizes[label]` literals do on the test examples of other labels, for every label.

    `bits` are those of the fitting examples.
    """
    model = placed(model, options)
    writing = substitution.fit("auto", model, graph, fit, [layer], options=options)
    passes = Passes.of(model, graph, [layer], options.threads)
    targets = tuple(Literal(label) for label in range(len(sizes)))
    results = {}
    for name in ORDERS:
        ordered = [prototype_order(bits, layer, label, name) for label in range(len(sizes))]
        chosen = np.zeros((len(sizes), len(ordered[0][0])), np.bool_)
        for label, (order, _) in enumerate(ordered):
            chosen[label, order[: sizes[label]]] = True
        booleans = np.stack([values for _, values in ordered])
        study = ForcedSets(passes, writing, targets, chosen, booleans)
        results[name] = run_batches(study, test, f"prototype sets, {name}", options).total
    return results
