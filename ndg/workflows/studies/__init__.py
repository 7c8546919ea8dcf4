"""Studies of `align.py` besides the trial. A new study is a module here with a function `run`, and a line in STUDIES.

`run(prepared)` takes the networks of the command and logs one run or more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pkgutil import resolve_name
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
    """The `run` function of a study: from prepared networks to run documents and their findings."""
    function: Callable[[Sequence[Any]], list[tuple[Any, Any]]] = resolve_name(f"{__name__}.{name}:run")
    return function
