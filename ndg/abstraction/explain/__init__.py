"""Explanations of single predictions by the graph, tested by forcing."""

from ndg.abstraction.explain.result import Explanation, Flip, Forced
from ndg.abstraction.explain.run import ExplainSettings, explain

__all__ = ["ExplainSettings", "Explanation", "Flip", "Forced", "explain"]
