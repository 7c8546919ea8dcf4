"""Layers, examples and settings of the scores of an experiment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from ndg.activations.batches import COMPUTE_BATCH
from ndg.activations.sampling import subset
from ndg.config import Experiment
from ndg.errors import DataError, LayerError
from ndg.graph.ndg import NDG
from ndg.importance.evaluation import preflight
from ndg.importance.evaluation.spec import ALL, every, of_graph, of_network
from ndg.importance.graph_scores import OF_GRAPH
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings
from ndg.nodes import class_number
from ndg.options import RunOptions
from ndg.units.resolve import expand_layers
from ndg.workflows.subject import Subject, candidates

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def checked(subject: Subject, layers: Sequence[str], experiment: Experiment) -> list[str]:
    """The layers to score.

    Each named method is tried on a few examples first.
    """
    settings = experiment.importance
    chosen = expand_layers(subject.network, settings.layers) if settings.layers else list(layers)
    if subject.logits and settings.methods and ALL not in settings.methods:
        loader, run_settings = loader_of(subject, experiment), how_of(experiment, subject)
        preflight.check(subject.network, loader, chosen, of_network(settings.methods), run_settings)
    return chosen


def check_methods(experiment: Experiment) -> None:
    """Raise ConfigError for an unknown method of the scores or of the scoreboard."""
    of_network(experiment.importance.methods)
    board_methods(experiment)


def board_methods(experiment: Experiment) -> list[str]:
    """Methods that the scoreboard compares with exact ablation.

    None without a scoreboard.
    """
    methods = experiment.importance.scoreboard
    return every([ALL] if methods is True else methods or [])


def weighted_layers(model: nn.Module, loader: Iterable[Any]) -> list[str]:
    """Linear and convolution layers in order, without that of the logits."""
    modules = dict(model.named_modules())
    layers = [path for path in candidates(model, loader, COMPUTE_BATCH) if isinstance(modules[path], WEIGHTED)]
    if len(layers) < 2:
        raise LayerError(
            f"no linear or convolution layer runs before the logits; got {layers}; name layers with --layers"
        )
    return layers[:-1]


def counted(graph: NDG, layers: Sequence[str], methods: Iterable[str]) -> list[Scores]:
    """Graph-based scores for the `layers` that the graph has, or for all."""
    own = [layer.name for layer in graph.nodes.layers if layer.name in layers]
    return [OF_GRAPH[name](graph, own or None) for name in of_graph(methods)]


def loader_of(subject: Subject, experiment: Experiment) -> Any:
    """Examples to score on. Raises DataError for a missing split."""
    settings = experiment.importance
    if settings.split not in subject.loaders:
        raise DataError(f"there is no split {settings.split!r}; there are {', '.join(subject.loaders)}")
    return subset(subject.loaders[settings.split], settings.max_examples, experiment.seed)


def how_of(experiment: Experiment, subject: Subject, **options: Any) -> Settings:
    """Settings for `ndg.score` of an experiment, with further run options."""
    settings, extract = experiment.importance, experiment.extract
    target, names = settings.target, subject.class_names or ()
    if isinstance(target, str) or str(target) in names:
        target = class_number(str(target), names, subject.facts["classes"] or 0)
    run_options = RunOptions(batch=extract.compute_batch, threads=extract.threads, seed=experiment.seed, **options)
    return Settings(settings.baselines, settings.n_steps, target=target, options=run_options)
