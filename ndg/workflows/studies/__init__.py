"""Studies of `align.py` besides the trial.

A new study is a module here with a function `run`, and a line in STUDIES. `run` takes the networks of the command, logs
one or more runs, and is about the first alpha.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pkgutil import resolve_name
from typing import Any

STUDIES: dict[str, str] = {
    "layers": "the graph within and between two layers of a network",
    "models": "the graph over two networks, under the paper's five conditions",
    "controls": "the graph compared with control graphs (Tables 3 and 7)",
    "edges": "every edge tested by setting its antecedent",
    "rotation": "the layer in the basis of its principal components, compared with its units",
    "counterfactual": "the decoder trained on counterfactual latents, before and after",
    "causal": "the graph of recombined examples: votes, sets that suffice, certificates, and their controls",
    "faithful": "the network trained towards its votes until they say truly what it does, with controls",
    "sweep": "every alpha and beta, over trainings; the largest alpha at which Q aligns on validation",
}
TRIAL = "trial"


def study(name: str) -> Callable[[Sequence[Any]], list[tuple[Any, Any]]]:
    """The function `run` of a study."""
    return resolve_name(f"{__name__}.{name}:run")
