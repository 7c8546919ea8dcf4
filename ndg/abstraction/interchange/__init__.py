"""Interchange interventions: neurons of a base take activations of a source."""

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
