"""A method of importance under test, and its quick scores of a small network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from torch import nn

from ndg.importance.method import Method
from ndg.importance.score import IMPORTANCE, score
from ndg.importance.scores import Scores
from ndg.importance.settings import ScoreSettings
from ndg.options import RunOptions
from ndg.testing.checks import rule
from ndg.testing.network import Network, examples, loader

UNITS = {"conv": 3, "hidden": 5, "latent": 6}
WEIGHTED = {"conv": 3, "hidden": 5, "before": 6}


@dataclass(frozen=True)
class Subject:
    """Name of a registered method, and its traits for the suite.

    `maps`: it scores layers with rows and columns alone. `still`: the values of the inputs mean nothing to it.
    `sampled`: its draws go by the number of a unit. `shared`: its layers share a budget. `options` make it quick.
    """

    name: str
    maps: bool = False
    still: bool = False
    sampled: bool = False
    shared: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> Method:
        return IMPORTANCE[self.name]

    @property
    def units(self) -> dict[str, int]:
        """Units of the layers that are scored."""
        return {"conv": 3} if self.maps else WEIGHTED if self.method.weights else UNITS

    @property
    def last(self) -> str:
        return list(self.units)[-1]

    @property
    def quick(self) -> dict[str, Any]:
        """Settings of a quick score."""
        return {"batch": 8} | ({"n_steps": 2} if self.method.steps else {})

    def keeps(self, law: str) -> bool:
        return law in self.method.laws


def scored(
    subject: Subject, model: nn.Module | None = None, data: Iterable[Any] | None = None, layers: Any = None, **more: Any
) -> Scores:
    """Scores by a method with settings that keep it quick."""
    model = Network() if model is None else model
    data = loader(examples()) if data is None else data
    own = {name: value for name, value in subject.options.items() if name in subject.method.options}
    how = by_parameter(subject.quick | own | more)
    return score(model, data, subject.units if layers is None else layers, subject.name, **how)


def by_parameter(how: dict[str, Any]) -> dict[str, Any]:
    """Keywords of `score`: fields of its settings and options are gathered in those."""
    for parameter, kind in (("settings", ScoreSettings), ("options", RunOptions)):
        values = {entry.name: how[entry.name] for entry in fields(kind) if entry.name in how}
        how = {name: value for name, value in how.items() if name not in values} | {parameter: kind(**values)}
    return how


def same(scores: Scores, expected: Scores, text: str) -> None:
    rule(scores.to_dict() == expected.to_dict(), text)


def close(values: np.ndarray, expected: np.ndarray, text: str, rtol: float = 1e-4, atol: float = 1e-6) -> None:
    rule(np.allclose(values, expected, rtol=rtol, atol=atol), f"{text}: expected {expected}, got {values}")
