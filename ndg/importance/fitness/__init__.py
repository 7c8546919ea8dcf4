"""Fitness of neurons during and after training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndg.lazy import lazily

_HOME = {"Fitness": "ndg.importance.fitness.measure", "fitness": "ndg.importance.fitness.measure"}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazily(__name__, _HOME)

if TYPE_CHECKING:
    from ndg.importance.fitness.measure import Fitness as Fitness
    from ndg.importance.fitness.measure import fitness as fitness
