"""Description of an importance method for the registry."""

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
"""Laws that a method may promise; each promise is tested."""


@dataclass(frozen=True)
class Method:
    """A method that scores units: `run(model, loader, layers, settings)`.

    `target` describes the target without a class, "" if classes do not apply. `options` are its own options with
    defaults; `baselines` are the named neutral states it accepts. `measure` is the unit of its scores. With `steps` it
    follows a path with `n_steps` gradients; with `weights` layers need weights; with `labels` examples need true
    classes. `laws` are names of `LAWS`.
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
