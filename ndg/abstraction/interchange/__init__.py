"""Interchange interventions: neurons of one input take the activations of another, and the graph says what follows."""

from ndg.abstraction.interchange.result import InterchangeResult
from ndg.abstraction.interchange.run import InterchangeSettings, interchange
from ndg.abstraction.interchange.shuffle import shuffled
from ndg.abstraction.interchange.unfolding import UnfoldingResult, unfolding
from ndg.interventions.swap import swap

__all__ = [
    "InterchangeResult",
    "InterchangeSettings",
    "UnfoldingResult",
    "interchange",
    "shuffled",
    "swap",
    "unfolding",
]
