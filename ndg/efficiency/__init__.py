"""Efficiency of a network: how much of each layer is used, and what can be removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndg.lazy import lazily

if TYPE_CHECKING:
    from ndg.efficiency.measure import compare as compare
    from ndg.efficiency.measure import report as report
    from ndg.efficiency.metrics import Metrics as Metrics
    from ndg.efficiency.paths import pathways as pathways
    from ndg.efficiency.result import EfficiencyReport as EfficiencyReport

__getattr__, __dir__, __all__ = lazily(__name__)
