"""Class prototypes as controls of sufficient sets; `ndg.interventions.prototypes` defines their orders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import nn

from ndg.causal.forced import ForcedCounts, ForcedSets
from ndg.graph.ndg import NDG
from ndg.interventions import substitution
from ndg.interventions.passes import Passes
from ndg.interventions.prototypes import ClassCounts, ranked
from ndg.literal import Literal
from ndg.options import RunOptions
from ndg.run_study import placed, run_batches


def prototype_sets(
    model: nn.Module,
    graph: NDG,
    fit: Iterable[Any],
    test: Iterable[Any],
    layer: str,
    sizes: Sequence[int],
    *,
    options: RunOptions = RunOptions(),
) -> dict[str, ForcedCounts]:
    """What the first `sizes[label]` literals of each order do on test examples of other labels, for every label.

    The orders are of the examples that the graph was mined from.
    """
    model = placed(model, options)
    writing = substitution.fit("auto", model, graph, fit, [layer], options=options)
    passes = Passes.of(model, graph, [layer], options.threads)
    targets = tuple(Literal(label) for label in range(len(sizes)))
    results = {}
    for name, order in ranked(ClassCounts.of(graph, layer)).items():
        chosen = order.place[: len(sizes)] < np.array(sizes)[:, None]
        study = ForcedSets(passes, writing, targets, chosen, order.values[: len(sizes)])
        results[name] = run_batches(study, test, f"prototype sets, {name}", options).total
    return results
