"""Scores of units as a value without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int64

from ndg.errors import ConfigError, LayerError, ShapeError, check_kind, nearest
from ndg.escape import html as escape
from ndg.nodes import LayerUnits, NodeSpace
from ndg.plots import Plot, Series
from ndg.results import Result, Row

if TYPE_CHECKING:
    import pandas as pd

SHOWN, LAYERS = 20, 10
"""Number of units, shared among the layers, and of layers that a notebook shows."""


@dataclass(frozen=True, eq=False)
class Scores(Result):
    """One number per unit of each layer.

    `values` maps a layer to the scores of its units, `whole` to the score of the layer as one unit. `target` is a
    class, "all logits" or "predicted class". `baseline` describes the neutral state. `facts` has details of the method
    in plain JSON types. `errors` are standard errors, if the method has them.

    >>> scores = ndg.score(net, data, ["1"])
    >>> scores["1"].shape
    (8,)
    >>> scores.method
    'gndi'
    """

    method: str
    values: Mapping[str, Float64[np.ndarray, " _"]]
    whole: Mapping[str, float]
    target: int | str
    baseline: str
    examples: int
    measure: str = "logits"
    facts: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, Float64[np.ndarray, " _"]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if set(self.values) != set(self.whole):
            raise ShapeError(f"values and whole name the same layers; got {list(self.values)} and {list(self.whole)}")
        for layer, values in self.values.items():
            if values.ndim != 1 or not len(values):
                raise ShapeError(f"a layer has one score per unit; got an array of shape {values.shape} for {layer!r}")
            if not np.isfinite(values).all():
                unit = int(np.flatnonzero(~np.isfinite(values))[0])
                raise LayerError(
                    f"scores must be finite; {self.method} of unit {unit} of layer {layer!r} is {values[unit]}; "
                    "look for NaN or infinity in the network's weights, activations and inputs"
                )
            values.flags.writeable = False
        for layer, errors in self.errors.items():
            if layer not in self.values or errors.shape != self.values[layer].shape:
                raise ShapeError(f"standard errors go with scores; got {errors.shape} for {layer!r}")

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.values)

    @property
    def nodes(self) -> NodeSpace:
        """Node space of the scored units, without labels."""
        return NodeSpace(0, tuple(LayerUnits(layer, len(values)) for layer, values in self.values.items()))

    def __getitem__(self, layer: str) -> Float64[np.ndarray, " unit"]:
        if layer not in self.values:
            raise LayerError(f"layer {layer!r} was not scored; {nearest(layer, self.values)}")
        return self.values[layer]

    def __iter__(self) -> Iterator[str]:
        """The scored layers, in order."""
        return iter(self.values)

    def rank(self, layer: str) -> Int64[np.ndarray, " unit"]:
        """Rank within the layer, 1 for the largest absolute score."""
        size = np.abs(self[layer])
        ranks: np.ndarray = 1 + len(size) - np.searchsorted(np.sort(size), size, side="right").astype(np.int64)
        return ranks

    def rows(self) -> list[Row]:
        """One row per unit, as in `frame`."""
        return [{str(name): value for name, value in row.items()} for row in self.frame().to_dict("records")]

    def words(self) -> str:
        """The unit of the largest score of each layer."""
        best = ", ".join(f"{layer}:{int(np.argmax(np.abs(values)))}" for layer, values in self.values.items())
        units = sum(map(len, self.values.values()))
        return (
            f"{self.method} of {units} units in {self.measure}, mean over {self.examples} examples, target "
            f"{self.target}, baseline {self.baseline}; largest in its layer: {best}."
        )

    def frame(self) -> pd.DataFrame:
        """One row per unit: layer, node, score, rank, standard error."""
        import pandas as pd

        units = [(layer, unit) for layer in self.layers for unit in range(len(self[layer]))]
        nothing = {layer: np.full(len(self[layer]), np.nan) for layer in self.layers}
        errors = np.concatenate([{**nothing, **self.errors}[layer] for layer in self.layers])
        return pd.DataFrame(
            {
                "layer": [layer for layer, _ in units],
                "unit": [unit for _, unit in units],
                "node": [f"{layer}:{unit}" for layer, unit in units],
                "score": np.concatenate([self[layer] for layer in self.layers]),
                "rank": np.concatenate([self.rank(layer) for layer in self.layers]),
            }
            | ({"standard_error": errors} if self.errors else {})
        )

    def against(self, other: Scores) -> Plot:
        """Absolute scores of the same units against those of another method, layer by layer; else ShapeError."""
        check_kind(other, Scores, "scores are compared with scores", "pass a result of ndg.score")
        layers = [layer for layer in self.layers if layer in other.values]
        if not layers or any(len(self[layer]) != len(other[layer]) for layer in layers):
            raise ShapeError(
                f"scores of the same units are compared; {self.method} has {', '.join(self.layers)}, {other.method} "
                f"has {', '.join(other.layers)}; score the same layers of the same network"
            )
        x, y = (f"{scores.method} ({scores.measure})" for scores in (other, self))
        series = (
            Series(layer, *(tuple(np.abs(scores[layer]).tolist()) for scores in (other, self))) for layer in layers
        )
        return Plot(f"{self.method} against {other.method}", x, y, tuple(series), "points")

    def by_node(self, space: NodeSpace) -> dict[int, float]:
        """Scores by node index of `space`, for the layers in it.

        Raises ShapeError if there is no such layer, or for another number of units.
        """
        check_kind(space, NodeSpace, "scores are put on the nodes of a graph", "pass graph.nodes")
        units = {layer.name: layer.units for layer in space.layers}
        shared = [layer for layer in self.layers if layer in units]
        if not shared:
            raise ShapeError(
                f"scores are put on the nodes of the same layers; scored: {', '.join(self.layers)}; the nodes have: "
                f"{', '.join(units) or 'no layers'}; score the layers that were extracted"
            )
        scores: dict[int, float] = {}
        for layer in shared:
            if len(self[layer]) != units[layer]:
                raise ShapeError(
                    f"layer {layer!r} has {units[layer]} nodes but {len(self[layer])} scored units; "
                    "score the network that the nodes were extracted from"
                )
            where = space.slice(layer)
            scores.update(zip(range(where.start, where.stop), self[layer].tolist(), strict=True))
        return scores

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with every score; inverse of `from_dict`."""
        return {
            "method": self.method,
            "measure": self.measure,
            "target": self.target,
            "baseline": self.baseline,
            "examples": self.examples,
            "layers": [
                {"layer": layer, "whole": float(self.whole[layer]), "values": self[layer].tolist()}
                | ({"errors": self.errors[layer].tolist()} if layer in self.errors else {})
                for layer in self.layers
            ],
            "facts": dict(self.facts),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Scores:
        rule = "scores are read from a dictionary that to_dict gave"
        check_kind(document, Mapping, rule, "pass the result of to_dict")
        try:
            return cls._of(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            came = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise ConfigError(f"{rule}; got another one ({came}); pass the result of to_dict") from error

    @classmethod
    def _of(cls, document: Mapping[str, Any]) -> Scores:
        rows = document["layers"]
        return cls(
            method=document["method"],
            values={row["layer"]: np.array(row["values"], dtype=np.float64) for row in rows},
            whole={row["layer"]: float(row["whole"]) for row in rows},
            target=document["target"],
            baseline=document["baseline"],
            examples=document["examples"],
            measure=document["measure"],
            facts=dict(document["facts"]),
            errors={row["layer"]: np.array(row["errors"], dtype=np.float64) for row in rows if "errors" in row},
        )

    def _repr_html_(self) -> str:
        facts = "".join(f"; {name.replace('_', ' ')} {_spell(value)}" for name, value in self.facts.items())
        caption = (
            f"{self.method} in {self.measure}, mean over {self.examples} examples, target {self.target}, "
            f"baseline {self.baseline}{facts}"
        )
        shown = self.layers[:LAYERS]
        rows = "".join(self._html_rows(layer, max(SHOWN // len(shown), 2)) for layer in shown)
        if len(self.layers) > len(shown):
            rows += f'<tr><td colspan="3">and {len(self.layers) - len(shown)} more layers</td></tr>'
        return (
            f"<table><caption>{escape(caption)}</caption>"
            f"<thead><tr><th>node</th><th>score</th><th>rank</th></tr></thead><tbody>{rows}</tbody></table>"
        )

    def _html_rows(self, layer: str, count: int) -> str:
        values, ranks = self[layer], self.rank(layer)
        best = np.argsort(ranks, kind="stable")[:count]
        rows = [
            f"<tr><td>{escape(f'{layer}:{unit}')}</td><td>{values[unit]:.4g}</td><td>{ranks[unit]}</td></tr>"
            for unit in best
        ]
        if len(values) > len(best):
            rows.append(f'<tr><td colspan="3">and {len(values) - len(best)} more of {escape(layer)}</td></tr>')
        return "".join(rows)


def _spell(value: Any) -> str:
    """Text of a fact: numbers with three digits, rows joined."""
    if isinstance(value, list):
        return ", ".join(map(_spell, value))
    if isinstance(value, Mapping):
        return " ".join(_spell(part) if name == "layer" else f"{name} {_spell(part)}" for name, part in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)
