"""What a method of importance is, for the registry: what it computes, what it takes, and which laws it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ndg.importance.scores import Scores
from ndg.importance.settings import Settings

Run = Callable[[nn.Module, Iterable[Any], tuple[str, ...], Settings], Scores]

LAWS = {
    "additive": "the scores of two sets of examples are the mean of both, weighted by their examples",
    "baseline": "a unit that always equals its baseline scores 0",
    "unread": "a unit that nothing reads scores 0",
    "weightless": "a unit whose incoming weights are all 0 scores 0",
    "neutral": "takes baselines of activations: zero, mean, numbers or tensors",
}
"""What a method may promise; what one promises is tested of it."""


@dataclass(frozen=True)
class Method:
    """A way to score units: `run(model, loader, layers, settings)`.

    `target` says what is scored where no class is asked for, "" for a method to which classes mean nothing. `options`
    are those of its own, with their defaults; `baselines` the neutral states that it knows by name. `measure` is the
    unit of its scores. With `steps` it follows a path, in `n_steps` gradients; with `weights` the layers need weights
    of their own, with `labels` the examples need true classes. `laws` are names of `LAWS`.
    """

    run: Run
    title: str
    source: str
    target: str = ""
    measure: str = "logits"
    options: Mapping[str, Any] = field(default_factory=dict)
    baselines: tuple[str, ...] = ("zero", "mean")
    steps: bool = False
    weights: bool = False
    labels: bool = False
    laws: frozenset[str] = frozenset()
