"""The studies of `align.py` beside the trial. Each takes what it needs of one or more networks, and logs a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

STUDIES: dict[str, str] = {
    "layers": "two layers of one network in one graph",
    "models": "two networks in one graph, under the paper's five conditions",
    "controls": "the graph beside graphs that know nothing (Tables 3 and 7)",
    "edges": "every edge on trial: which survive when their antecedent is forced",
    "rotation": "the layer in the basis of its principal components, beside its own units",
    "counterfactual": "train what follows the layer on counterfactual latents, before and after",
    "sweep": "every alpha and beta, over trainings; the largest alpha at which Q aligns on validation",
}
TRIAL = "trial"


def study(name: str) -> Callable[[Sequence[Any]], list[tuple[Any, Any]]]:
    """The function of a study: of networks that are prepared, to run documents with what they found."""
    from ndg.workflows.studies import controls, counterfactual, edges, layers, models, rotation, sweep

    every = (layers, models, controls, edges, rotation, counterfactual, sweep)
    return dict(zip(STUDIES, every, strict=True))[name].run
