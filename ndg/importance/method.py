"""Description of an importance method for the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, nn

from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings

Run = Callable[[nn.Module, Loader, Layers, Settings], Scores]

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

    Scores take the name of the function `run`. `target` describes the target without a class, "" if classes do not
    apply. `options` are its own options with defaults; `baselines` are the named neutral states, "zero" alone if it
    uses none. `measure` is the unit of its scores. With `steps` it follows a path; with `weights` layers need weights;
    with `labels` examples need true classes. With `harm` a negative score says that the network is better without the
    unit, so that the lowest score is the least; else the least is the smallest absolute score.
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
    harm: bool = False
    laws: frozenset[str] = frozenset()

    def scores(
        self,
        settings: Settings,
        values: Mapping[str, Any],
        examples: int,
        *,
        whole: Mapping[str, Any] | Callable[[np.ndarray], Any] = np.sum,
        baseline: str = "none",
        **more: Any,
    ) -> Scores:
        """The result of the method, with other fields of `Scores` as `more`.

        `whole` has a number for each layer, or is a function of its scores.
        """
        arrays = {layer: units.cpu().numpy() if isinstance(units, Tensor) else units for layer, units in values.items()}
        target = settings.describe("true class" if self.labels else self.target or "no class")
        fields: dict[str, Any] = {"target": target, "measure": self.measure, **more}
        return Scores(
            method=self.run.__name__,
            values=arrays,
            whole={layer: float(whole(units) if callable(whole) else whole[layer]) for layer, units in arrays.items()},
            baseline=baseline,
            examples=examples,
            **fields,
        )
