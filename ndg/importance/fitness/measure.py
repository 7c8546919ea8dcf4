"""Fitness of neurons from gradients, activations and weights, during and after training.

    gradient     mean |dL/dy| of the cross-entropy L of each example, in nats per activation
    taylor       mean |sum over positions of y dL/dy|: first-order effect of removing the neuron on L, in nats
    activation   mean |y|
    variance     of y over examples and positions
    entropy      of the histogram of y, 20 bins between its extremes, in nats
    correlation  mean y on correct predictions minus mean y on wrong ones, if both exist
    weights      L2 norm of the incoming weights
    outgoing     L2 norm of the weights that read the neuron, if it can be traced to them
    change       relative weight change (L2 norms) since the previous epoch
    composite    0.4 weights + 0.4 gradient + 0.2 activation, each standardised by its layer at the start of training
    on           share of the examples for which the neuron is on, at any position

A neuron is dying if it is on for fewer than 1 % of the examples, or if its composite is below the 10 % quantile of its
layer at the start of training. None of these is an effect on the output, as exact ablation is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float64
from torch import Tensor, nn

from ndg.activations.batches import Batch, compute_batches, fixed, no_examples, true_labels
from ndg.activations.binarize import AUTO, BINARIZERS, choose
from ndg.activations.hooks import find_layer
from ndg.errors import ConfigError, DataError, LayerError, nearest
from ndg.gradients.tape import Tape, add
from ndg.importance.scores import Scores
from ndg.importance.weights.incoming import Weights, leading, read_by, weights_of
from ndg.options import RunOptions, old_keywords
from ndg.results import Result
from ndg.units.layout import View

BINS = 20
LEAST_ON, LOWEST = 0.01, 0.1
COMPOSITE = {"weights": 0.4, "gradient": 0.4, "activation": 0.2}
TERMS = ("gradient", "taylor", "activation", "variance", "entropy", "weights", "outgoing")
"""Measures that a composite may contain."""
MEASURES = (*TERMS, "correlation", "change", "composite")
UNITS = {
    "gradient": "nats per activation",
    "taylor": "nats",
    "entropy": "nats",
    "change": "share of the norm",
    "composite": "deviations",
}

Values = Float64[np.ndarray, " unit"]
Right = Bool[Tensor, " counted"]
Kept = Bool[Tensor, "example unit position"] | None


@dataclass(frozen=True, eq=False)
class Fitness(Result):
    """Value per neuron for each layer and measure."""

    values: Mapping[str, Mapping[str, Values]]
    dying: Mapping[str, Bool[np.ndarray, " unit"]]
    examples: int
    right: int

    def rows(self) -> list[dict[str, Any]]:
        """One row per neuron."""
        return [
            {"layer": layer, "unit": unit, "node": f"{layer}:{unit}"}
            | {name: float(values[unit]) for name, values in measures.items()}
            | {"dying": bool(dying)}
            for layer, measures in self.values.items()
            for unit, dying in enumerate(self.dying[layer])
        ]

    def words(self) -> str:
        """How many neurons of each layer are dying."""
        layers = ", ".join(f"{int(dying.sum())} of {len(dying)} in {layer}" for layer, dying in self.dying.items())
        return f"Dying neurons over {self.examples} examples, of which {self.right} are predicted right: {layers}."

    def to_dict(self) -> dict[str, Any]:
        """Mean, max and variance of each measure per layer, in plain JSON types."""
        layers = []
        for layer, dying in self.dying.items():
            row: dict[str, Any] = {"layer": layer, "units": len(dying), "dying": int(dying.sum())}
            for name in (name for name in MEASURES if name in self.values[layer]):
                values = self.values[layer][name]
                for what, value in (("mean", values.mean()), ("max", values.max()), ("variance", values.var())):
                    row[f"{name}_{what}"] = float(value)
            layers.append(row)
        return {"examples": self.examples, "right": self.right, "layers": layers}

    def columns(self) -> dict[str, float | int]:
        """The same as one flat row, `fitness/LAYER/MEASURE_mean` etc., with slashes in paths."""
        return {"fitness/right": self.right} | {
            f"fitness/{row['layer'].replace('.', '/')}/{name}": value
            for row in self.to_dict()["layers"]
            for name, value in row.items()
            if name != "layer"
        }

    def scores(self, measure: str = "composite") -> Scores:
        """One measure as scores; composites of a layer begin at 0."""
        layers = {layer: values[measure].copy() for layer, values in self.values.items() if measure in values}
        if not layers:
            known = sorted({name for values in self.values.values() for name in values})
            raise LayerError(f"fitness has a measure for its layers; got {measure!r}; {nearest(measure, known)}")
        if measure == "composite":
            layers = {layer: values - values.min() for layer, values in layers.items()}
        return Scores(
            method=f"fitness_{measure}",
            values=layers,
            whole={layer: float(values.mean()) for layer, values in layers.items()},
            target="true class",
            baseline="none",
            examples=self.examples,
            measure=UNITS.get(measure, measure),
        )


@dataclass(frozen=True)
class KnownWeights:
    """Names of weights before each layer, and layers with traced readers."""

    led: Mapping[str, Sequence[str]]
    read: Sequence[str] | None = None


@old_keywords(options=RunOptions)
def fitness(
    model: nn.Module,
    loader: Iterable[Any],
    layers: Sequence[str],
    *,
    fresh: Fitness | None = None,
    before: Weights | None = None,
    known: KnownWeights | None = None,
    composite: Mapping[str, float | int] = COMPOSITE,
    options: RunOptions = RunOptions(),
) -> Fitness:
    """Fitness of the neurons of some layers, over examples with true classes.

    `fresh` is the fitness at the start of training: it standardises composites and defines dying; without it, a layer
    standardises itself. `before` are earlier `weights_of`, for `change`. `known` names the weights beside the layers,
    if they are known already. `composite` has weights of `TERMS`; missing terms are skipped. The network stays
    unchanged, gradients included. The loader is read twice. Raises DataError without true classes, ConfigError for a
    composite of other terms.
    """
    for name in composite:
        if name not in TERMS:
            raise ConfigError(f"a composite of fitness has weights of its terms; got {name!r}; {nearest(name, TERMS)}")
    with torch.inference_mode(False), fixed(model, options.threads, grad=True), Tape(model, layers) as tape:
        sums: dict[str, _Sums] = {}
        examples = correct = 0
        for part in compute_batches(loader, options.batch, short=True):
            gradients, right = _gradients(tape, part)
            for layer, gradient in gradients.items():
                view = tape[layer]
                if layer not in sums:
                    threshold = BINARIZERS[choose(AUTO, find_layer(model, layer))].threshold or 0.0
                    sums[layer] = _Sums(view.shape[1], threshold)
                sums[layer].add(view[: part.count], gradient[: part.count], tape.kept(layer, part.count), right)
            examples, correct = examples + part.count, correct + int(right.sum())
        if not examples:
            raise no_examples()
        with torch.no_grad():
            for part in compute_batches(loader, options.batch, short=True):
                tape.run(part)
                for layer, total in sums.items():
                    total.spread(tape[layer][: part.count], tape.kept(layer, part.count))
    now = weights_of(model, leading(model, loader, layers, options.batch) if known is None else known.led)
    read = list(layers) if known is None or known.read is None else known.read
    norms = read_by(model, loader, read, options.batch)
    values = {layer: sums[layer].values() | _moved(now.get(layer), (before or {}).get(layer)) for layer in layers}
    for layer, each in values.items():
        if layer in norms:
            each["outgoing"] = norms[layer]
        each["composite"] = _composite(each, each if fresh is None else fresh.values[layer], composite)
    dying = {layer: _dying(each, None if fresh is None else fresh.values[layer]) for layer, each in values.items()}
    return Fitness(values, dying, examples, correct)


def _gradients(tape: Tape, batch: Batch) -> tuple[dict[str, View], Right]:
    """Gradient of each example's loss, and correctness of its prediction."""
    if batch.labels is None:
        raise DataError("fitness needs the true classes; the loader gives inputs alone; give (inputs, labels)")
    logits = tape.run(batch).float()
    labels = true_labels(batch.labels, batch.count, logits.shape[1])
    labels = labels[torch.arange(len(logits)).clamp(max=batch.count - 1)]  # padding rows do not count
    labels = labels.to(logits.device)
    right = (logits.argmax(dim=1) == labels)[: batch.count]
    return tape.gradients(F.cross_entropy(logits, labels, reduction="none")), right


@dataclass(eq=False)
class _Sums:
    """Sums over the neurons of a layer in float64, batch by batch."""

    units: int
    threshold: float
    sums: dict[str, Tensor] = field(default_factory=dict)
    ends: dict[str, Tensor] = field(default_factory=dict)
    examples: int = 0

    def add(self, view: View, gradient: View, kept: Kept, right: Right) -> None:
        """Add a batch to the sums of the first pass. Padding is zero."""
        low, high = (view if kept is None else view.masked_fill(~kept, end) for end in (torch.inf, -torch.inf))
        count = torch.full((len(view), self.units), view.shape[2], device=view.device)
        count = count if kept is None else kept.sum(dim=2)
        more = {
            "n": count.sum(dim=0),
            "n right": count[right].sum(dim=0),
            "sum right": view[right].sum(dim=(0, 2), dtype=torch.float64),
            "taylor": (view.double() * gradient).sum(dim=2).abs().sum(dim=0),
            "gradient": gradient.abs().sum(dim=(0, 2), dtype=torch.float64),
            "activation": view.abs().sum(dim=(0, 2), dtype=torch.float64),
            "sum": view.sum(dim=(0, 2), dtype=torch.float64),
            "on": (view > self.threshold).any(dim=2).sum(dim=0),
        }
        for name, values in more.items():
            add(self.sums, name, values)
        lowest, highest = low.amin(dim=(0, 2)).double(), high.amax(dim=(0, 2)).double()
        self.ends["low"] = torch.minimum(self.ends.get("low", lowest), lowest)
        self.ends["high"] = torch.maximum(self.ends.get("high", highest), highest)
        self.examples += len(view)

    def spread(self, view: View, kept: Kept) -> None:
        """Add a batch in the second pass, with known means and extremes."""
        low, width = self.ends["low"][:, None], (self.ends["high"] - self.ends["low"])[:, None]
        values = view.double()
        place = ((values - low) / torch.where(width > 0, width, 1) * BINS).long().clamp(0, BINS - 1)
        place += BINS * torch.arange(self.units, device=view.device)[:, None]
        counted = torch.bincount((place if kept is None else place[kept]).flatten(), minlength=self.units * BINS)
        apart = (values - (self.sums["sum"] / self.sums["n"].clamp(min=1))[:, None]).square()
        add(self.sums, "bins", counted.reshape(self.units, BINS))
        add(self.sums, "square", (apart if kept is None else apart.masked_fill(~kept, 0)).sum(dim=(0, 2)))

    def values(self) -> dict[str, Values]:
        n = self.sums["n"].clamp(min=1)
        share = self.sums["bins"] / n[:, None]
        measures = {
            "gradient": self.sums["gradient"] / n,
            "activation": self.sums["activation"] / n,
            "variance": self.sums["square"] / n,
            "entropy": -torch.special.xlogy(share, share).sum(dim=1),
            "taylor": self.sums["taylor"] / self.examples,
            "on": self.sums["on"] / self.examples,
        }
        right, wrong = self.sums["n right"], self.sums["n"] - self.sums["n right"]
        if right.all() and wrong.all():
            total = self.sums["sum"] - self.sums["sum right"]
            measures["correlation"] = self.sums["sum right"] / right - total / wrong
        return {name: values.double().cpu().numpy() for name, values in measures.items()}


def _moved(now: Tensor | None, before: Tensor | None) -> dict[str, Values]:
    """Norm of the weights of each unit, and their relative change."""
    if now is None:
        return {}
    columns = {"weights": now.norm(dim=1).numpy()}
    if before is not None:
        norm, moved = before.norm(dim=1), (now - before).norm(dim=1)
        columns["change"] = torch.where(norm > 0, moved / torch.where(norm > 0, norm, 1), 0).numpy()
    return columns


def _composite(values: Mapping[str, Values], fresh: Mapping[str, Values], weights: Mapping[str, float | int]) -> Values:
    """Weighted sum of the terms, standardised by the `fresh` layer."""
    total = np.zeros(len(values["gradient"]))
    for name, weight in weights.items():
        if name in values and name in fresh:
            spread = fresh[name].std()
            total += weight * (values[name] - fresh[name].mean()) / (spread if spread > 0 else 1.0)
    return total


def _dying(values: Mapping[str, Values], fresh: Mapping[str, Values] | None) -> Bool[np.ndarray, " unit"]:
    rarely = values["on"] < LEAST_ON
    return rarely if fresh is None else rarely | (values["composite"] < np.quantile(fresh["composite"], LOWEST))
