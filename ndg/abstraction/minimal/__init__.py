"""The smallest interventions that turn a prediction into another class, and whether the graph helps to find them."""

from ndg.abstraction.minimal.result import MinimalResult
from ndg.abstraction.minimal.run import MinimalSettings, minimal

__all__ = ["MinimalResult", "MinimalSettings", "minimal"]
