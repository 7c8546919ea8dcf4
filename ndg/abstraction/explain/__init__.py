"""What the graph says of one example's prediction, and whether the network agrees when it is forced."""

from ndg.abstraction.explain.result import Explanation, Flip, Forced
from ndg.abstraction.explain.run import ExplainSettings, explain

__all__ = ["ExplainSettings", "Explanation", "Flip", "Forced", "explain"]
