"""Fitness of neurons during and after training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndg.lazy import lazily

if TYPE_CHECKING:
    from ndg.importance.fitness.measure import Fitness as Fitness
    from ndg.importance.fitness.measure import fitness as fitness

__getattr__, __dir__, __all__ = lazily(__name__)
