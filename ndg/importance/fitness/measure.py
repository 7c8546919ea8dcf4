"""Fitness of neurons from gradients, activations and weights, during and after training.

    gradient     mean |dL/dy| of the cross-entropy L of each example, in nats per activation
    taylor       mean |sum over positions of y dL/dy|: first-order effect of removing the neuron on L, in nats
    activation   mean |y|
    variance     of y over examples and positions
    entropy      of the histogram of y, 20 bins between its extremes, in nats
    correlation  mean y on correct predictions minus mean y on wrong ones, if both exist
    weights      L2 norm of the incoming weights
    outgoing     L2 norm of the weights that read the neuron, if it can be traced to them
    ablation     cross-entropy with the neuron at zero minus cross-entropy, exact, in nats
    change       relative weight change (L2 norms) since the previous epoch
    composite    0.4 weights + 0.4 gradient + 0.2 activation, each standardised by its layer at the start of training
    on           share of the examples for which the neuron is on, at any position

A neuron is dying if it is on for fewer than 1 % of the examples, or if its composite is below the 10 % quantile of its
layer at the start of training. `ablation` alone is an effect on the output, and far more expensive than the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from ndg.activations.batches import Batch, compute_batches, fixed, no_examples
from ndg.activations.binarize import AUTO, BINARIZERS, choose
from ndg.activations.hooks import find_layer
from ndg.activations.labels import true_labels
from ndg.errors import ConfigError, DataError, LayerError, nearest
from ndg.gradients.tape import Tape
from ndg.importance.fitness.sums import LayerSums, Values
from ndg.importance.logits import check_numbers
from ndg.importance.methods import ablation
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings
from ndg.importance.weights.incoming import Weights, leading, read_by, weights_of
from ndg.options import RunOptions, old_keywords
from ndg.results import Result
from ndg.units.layout import View

LEAST_ON, LOWEST = 0.01, 0.1
COMPOSITE = {"weights": 0.4, "gradient": 0.4, "activation": 0.2}
TERMS = ("gradient", "taylor", "activation", "variance", "entropy", "weights", "outgoing", "ablation")
"""Measures that a composite may contain."""
MEASURES = (*TERMS, "correlation", "change", "composite")
SLOPES, SPREAD = {"gradient", "taylor"}, {"variance", "entropy"}
"""Measures that need a backward pass, and a second forward pass."""
COSTLY = {"ablation"}
"""Measures that are taken only by request, or as a term of the composite."""
UNITS = {
    "gradient": "nats per activation",
    "taylor": "nats",
    "entropy": "nats",
    "ablation": "nats",
    "change": "share of the norm",
    "composite": "deviations",
}


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
    """Weights before each layer, layers with traced readers, and earlier weights."""

    led: Mapping[str, Sequence[str]]
    read: Sequence[str] | None = None
    before: Weights | None = None


@old_keywords(options=RunOptions)
def fitness(
    model: nn.Module,
    loader: Iterable[Any],
    layers: Sequence[str],
    *,
    fresh: Fitness | None = None,
    known: KnownWeights | None = None,
    composite: Mapping[str, float | int] = COMPOSITE,
    measures: Collection[str] | None = None,
    options: RunOptions = RunOptions(),
) -> Fitness:
    """Fitness of the neurons of some layers, over examples with true classes.

    `fresh` is the fitness at the start of training: it standardises composites and defines dying; without it, a layer
    standardises itself. `known` names the weights beside the layers, if they are known already, and has the earlier
    weights for `change`. `composite` has weights of `TERMS`; terms that a layer does not have are skipped.
    `measures` are those to take, without it all but `ablation`, which costs a partial pass per neuron and example;
    passes that none of them needs are not made. The network stays unchanged, gradients included. The loader is read
    twice. Raises DataError without true classes, ConfigError for unknown measures or terms.
    """
    chosen = _chosen(measures, composite)
    total = _Passes(chosen)
    with torch.inference_mode(False), fixed(model, options.threads, grad=True), Tape(model, layers) as tape:
        total.first(model, tape, compute_batches(loader, options.batch, short=True))
        if chosen & SPREAD:
            with torch.no_grad():
                total.second(tape, compute_batches(loader, options.batch, short=True))
    values = {layer: _only(sums.values(), chosen) for layer, sums in total.sums.items()}
    if chosen & {"weights", "change"}:
        now = weights_of(model, leading(model, loader, layers, options.batch) if known is None else known.led)
        before = {} if known is None or known.before is None else known.before
        for layer, each in values.items():
            each |= _only(_moved(now.get(layer), before.get(layer)), chosen)
    if "outgoing" in chosen:
        read = list(layers) if known is None or known.read is None else known.read
        for layer, norms in read_by(model, loader, read, options.batch).items():
            values[layer]["outgoing"] = norms
    if "ablation" in chosen:
        for layer, damage in _ablated(model, loader, layers, options).items():
            values[layer]["ablation"] = damage
    for layer, each in values.items() if "composite" in chosen else ():
        each["composite"] = _composite(each, each if fresh is None else fresh.values[layer], composite)
    dying = {layer: _dying(each, None if fresh is None else fresh.values[layer]) for layer, each in values.items()}
    return Fitness(values, dying, total.examples, total.right)


def _chosen(measures: Collection[str] | None, composite: Mapping[str, float | int]) -> set[str]:
    """The measures to take, with the terms that the composite needs."""
    for name in composite:
        if name not in TERMS:
            raise ConfigError(f"a composite of fitness has weights of its terms; got {name!r}; {nearest(name, TERMS)}")
    for name in measures or ():
        if name not in MEASURES:
            raise ConfigError(f"a measure of fitness is a known one; got {name!r}; {nearest(name, MEASURES)}")
    chosen = set(MEASURES) - COSTLY if measures is None else set(measures)
    return chosen | (set(composite) if "composite" in chosen else set())


def _only(values: Mapping[str, Values], chosen: Collection[str]) -> dict[str, Values]:
    """Chosen measures, and the share of examples that dying neurons go by."""
    return {name: value for name, value in values.items() if name in chosen or name == "on"}


@dataclass(eq=False)
class _Passes:
    """Sums of the passes over the examples, by layer."""

    chosen: set[str]
    sums: dict[str, LayerSums] = field(default_factory=dict)
    examples: int = 0
    right: int = 0

    def first(self, model: nn.Module, tape: Tape, batches: Iterable[Batch]) -> None:
        """Add the pass with gradients, if a measure needs them."""
        for batch in batches:
            with torch.set_grad_enabled(bool(self.chosen & SLOPES)):
                logits = tape.run(batch)
            views = {layer: tape[layer] for layer in tape.layers}
            check_numbers(batch, views, logits)
            labels = _labels(batch, logits)
            right = (logits.argmax(dim=1) == labels)[: batch.count]
            slopes: Mapping[str, View] = {}
            if self.chosen & SLOPES:
                slopes = tape.gradients(F.cross_entropy(logits.float(), labels, reduction="none"))
            for layer, view in views.items():
                if layer not in self.sums:
                    threshold = BINARIZERS[choose(AUTO, find_layer(model, layer))].threshold or 0.0
                    self.sums[layer] = LayerSums(view.shape[1], threshold)
                slope = slopes[layer][: batch.count] if slopes else None
                self.sums[layer].add(view[: batch.count], slope, tape.kept(layer, batch.count), right)
            self.examples, self.right = self.examples + batch.count, self.right + int(right.sum())
        if not self.examples:
            raise no_examples()

    def second(self, tape: Tape, batches: Iterable[Batch]) -> None:
        """Add the pass that needs the means and extremes of the first."""
        for batch in batches:
            tape.run(batch)
            for layer, total in self.sums.items():
                total.spread(tape[layer][: batch.count], tape.kept(layer, batch.count))


def _labels(batch: Batch, logits: Tensor) -> Int64[Tensor, " example"]:
    """True classes of a batch.

    Rows of padding repeat the last one.
    """
    if batch.labels is None:
        raise DataError("fitness needs the true classes; the loader gives inputs alone; give (inputs, labels)")
    labels = true_labels(batch.labels, batch.count, logits.shape[1])
    return labels[torch.arange(len(logits)).clamp(max=batch.count - 1)].to(logits.device)


def _ablated(
    model: nn.Module, loader: Iterable[Any], layers: Sequence[str], options: RunOptions
) -> Mapping[str, Values]:
    """Exact damage in loss of each neuron at zero."""
    settings = Settings(options=options, own={"measure": "loss"})
    return ablation.ablation(model, loader, tuple(layers), settings).values


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
    total = np.zeros(len(values["on"]))
    for name, weight in weights.items():
        if name in values and name in fresh:
            spread = fresh[name].std()
            total += weight * (values[name] - fresh[name].mean()) / (spread if spread > 0 else 1.0)
    return total


def _dying(values: Mapping[str, Values], fresh: Mapping[str, Values] | None) -> Bool[np.ndarray, " unit"]:
    rarely: Bool[np.ndarray, " unit"] = values["on"] < LEAST_ON
    if fresh is None or "composite" not in values:
        return rarely
    return rarely | (values["composite"] < np.quantile(fresh["composite"], LOWEST))
