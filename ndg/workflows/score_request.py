"""What an experiment asks of scores: which layers, which examples, how; and whether the methods take them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from ndg.activations.batches import COMPUTE_BATCH
from ndg.activations.subset import subset
from ndg.config import Experiment
from ndg.errors import DataError, LayerError
from ndg.graph.ndg import NDG
from ndg.importance.evaluation import preflight
from ndg.importance.evaluation.spec import ALL, of_graph, of_network
from ndg.importance.graph_scores import OF_GRAPH
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings
from ndg.options import RunOptions
from ndg.units.resolve import expand_layers
from ndg.workflows.subject import Subject, candidates

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def checked(subject: Subject, layers: Sequence[str], experiment: Experiment) -> list[str]:
    """The layers to score: those that the experiment names, else these.

    Raises what a method that was named refuses, by a few examples, before anything is mined or written; of `all` those
    that refuse are left out later.
    """
    settings = experiment.importance
    asked = layers_of(subject.network, settings.layers) if settings.layers else list(layers)
    if subject.logits and settings.methods and ALL not in settings.methods:
        loader, how = loader_of(subject, experiment), how_of(experiment)
        preflight.check(subject.network, loader, asked, of_network(settings.methods), how)
    return asked


def layers_of(model: nn.Module, asked: Sequence[str]) -> list[str]:
    """The layers of paths, regular expressions, and units that no module gives by itself, such as `layer.heads` or
    `layers.*attention.heads`."""
    return expand_layers(model, asked)


def weighted_layers(model: nn.Module, loader: Iterable[Any]) -> list[str]:
    """The linear and convolution layers that run once, in their order, without the last, which gives the logits."""
    modules = dict(model.named_modules())
    found = [path for path in candidates(model, loader, COMPUTE_BATCH) if isinstance(modules[path], WEIGHTED)]
    if len(found) < 2:
        raise LayerError(
            f"there is no linear or convolution layer before the logits; found {found}; name some by --layers"
        )
    return found[:-1]


def counted(graph: NDG, layers: Sequence[str], methods: Iterable[str]) -> list[Scores]:
    """The scores that a graph alone gives, by the methods asked for that do: of those of the layers that it has, or of
    all of its own where it has none of them."""
    mine = [layer.name for layer in graph.nodes.layers if layer.name in layers]
    return [OF_GRAPH[name](graph, mine or None) for name in of_graph(methods)]


def loader_of(subject: Subject, experiment: Experiment) -> Any:
    """The examples that are scored on. Raises DataError where there is no such split."""
    settings = experiment.importance
    if settings.split not in subject.loaders:
        raise DataError(f"there is no split {settings.split!r}; there are {', '.join(subject.loaders)}")
    return subset(subject.loaders[settings.split], settings.max_examples, experiment.seed)


def how_of(experiment: Experiment, **by: Any) -> Settings:
    """The settings of an experiment for `ndg.score`, with further options of the run."""
    settings, read = experiment.importance, experiment.extract
    options = RunOptions(batch=read.compute_batch, threads=read.threads, seed=experiment.seed, **by)
    return Settings(settings.baselines, settings.n_steps, target=settings.target, options=options)
