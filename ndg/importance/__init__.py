"""Importance scores of units, and their evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndg.lazy import lazily

_HOME = {
    "Fitness": "ndg.importance.fitness.measure",
    "Scores": "ndg.importance.scores",
    "Tuning": "ndg.importance.experiments.pruning",
    "ablation_curves": "ndg.importance.experiments.curves",
    "agreement": "ndg.importance.evaluation.agreement",
    "ancestors": "ndg.importance.graph_scores",
    "conductance_by_input": "ndg.importance.methods.breakdown",
    "degree": "ndg.importance.graph_scores",
    "filter_experiment": "ndg.importance.experiments.filters",
    "prune": "ndg.importance.experiments.pruning",
    "scoreboard": "ndg.importance.evaluation.scoreboard",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazily(__name__, _HOME)

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
