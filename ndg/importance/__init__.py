"""How much each unit of a network matters, by many scores, and which of them to believe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndg.lazy import lazily

_HOME = {
    "Fitness": "ndg.importance.fitness",
    "Scores": "ndg.importance.scores",
    "Tuning": "ndg.importance.pruning",
    "ablation_curves": "ndg.importance.curves",
    "agreement": "ndg.importance.board.agreement",
    "ancestors": "ndg.importance.in_graph",
    "conductance_by_input": "ndg.importance.breakdown",
    "degree": "ndg.importance.in_graph",
    "filter_experiment": "ndg.importance.filters",
    "prune": "ndg.importance.pruning",
    "scoreboard": "ndg.importance.board.scoreboard",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazily(__name__, _HOME)

if TYPE_CHECKING:
    from ndg.importance.board.agreement import agreement as agreement
    from ndg.importance.board.scoreboard import scoreboard as scoreboard
    from ndg.importance.breakdown import conductance_by_input as conductance_by_input
    from ndg.importance.curves import ablation_curves as ablation_curves
    from ndg.importance.filters import filter_experiment as filter_experiment
    from ndg.importance.fitness import Fitness as Fitness
    from ndg.importance.in_graph import ancestors as ancestors
    from ndg.importance.in_graph import degree as degree
    from ndg.importance.pruning import Tuning as Tuning
    from ndg.importance.pruning import prune as prune
    from ndg.importance.scores import Scores as Scores
