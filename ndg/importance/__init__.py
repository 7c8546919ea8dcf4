"""Importance scores of units, and their evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndg.lazy import lazily

if TYPE_CHECKING:
    from ndg.importance.evaluation.agreement import agreement as agreement
    from ndg.importance.evaluation.scoreboard import scoreboard as scoreboard
    from ndg.importance.experiments.curves import ablation_curves as ablation_curves
    from ndg.importance.experiments.filters import filter_experiment as filter_experiment
    from ndg.importance.experiments.pruning import Tuning as Tuning
    from ndg.importance.experiments.pruning import prune as prune
    from ndg.importance.fitness.measure import Fitness as Fitness
    from ndg.importance.graph_scores import ancestors as ancestors
    from ndg.importance.graph_scores import degree as degree
    from ndg.importance.methods.breakdown import conductance_by_input as conductance_by_input
    from ndg.importance.scores import Scores as Scores

__getattr__, __dir__, __all__ = lazily(__name__)
