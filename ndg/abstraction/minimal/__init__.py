"""Minimal interventions: the smallest sets that flip a prediction."""

from ndg.abstraction.minimal.result import MinimalResult
from ndg.abstraction.minimal.run import MinimalSettings, minimal

__all__ = ["MinimalResult", "MinimalSettings", "minimal"]
