"""Conductance (Dhamdhere, Sundararajan & Yan 2018): how much of a logit flows through a unit.

    Cond_y(x) = integral over a from 0 to 1 of dF/dy * dy/da da,    along the path x' + a (x - x')

F is the logit before the softmax. Completeness: over a layer that every path from inputs to logits crosses, the units'
conductances add up to F(x) - F(x').

Quadrature: n gradients at the midpoints a = (k - 1/2) / n, and the outputs y there and at both ends. Between midpoints
the mean of two gradients meets the change of y; the first and the last half interval take the one gradient they have.
Second order in 1/n where the network is smooth, first order at the kinks of a ReLU, and exact for ReLU networks without
biases from a zero baseline, where a gradient taken at x' itself would be wrong: there all units stand on their kink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from ndg.activations.compute import Batch, Inputs, check_finite
from ndg.errors import DataError
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings, check_rereadable, passes
from ndg.importance.tape import Tape, add, per_unit

Logits = Float[Tensor, "example logit"]
Flow = Float64[Tensor, "example _"]


def conductance(model: nn.Module, loader: Iterable[Any], layers: tuple[str, ...], settings: Settings) -> Scores:
    """Signed scores in logits: the mean over the examples of each unit's total conductance.

    F is the logit of the class that the network predicts at x, or of `settings.target`. x' is zero, or the mean input
    of the examples. A channel sums its positions; `whole` sums the units. Every pass holds one batch at one step, so
    memory does not grow with `settings.steps`.

    `facts["completeness"]` has, for each layer, mean and largest absolute difference between the sum over units and
    F(x) - F(x'), in logits; `facts["logit_change"]` is the mean absolute F(x) - F(x') to measure it by. A layer beside
    which a path passes, as in a residual branch, is not complete however fine the steps.

    Raises DataError for inputs that are not floats, since between integers there is no path.
    """
    start = _mean_input(loader, settings) if settings.baseline == "mean" else None
    values: dict[str, Tensor] = {}
    errors: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    changes: list[Tensor] = []
    examples = forwards = backwards = 0
    with Tape(model, layers) as tape:
        for one in passes(loader, settings, "conductance"):
            flows, change = _batch(tape, one, start, layers, settings)
            changes.append(change.abs())
            for layer, flow in flows.items():
                add(values, layer, flow.sum(dim=0))
                errors[layer].append((flow.sum(dim=1) - change).abs())
            examples += one.count
            forwards, backwards = forwards + settings.steps + 2, backwards + settings.steps
    means = {layer: (values[layer] / examples).cpu().numpy() for layer in layers}
    deltas = {layer: torch.cat(errors[layer]) for layer in layers}
    return Scores(
        method="conductance",
        values=means,
        whole={layer: float(means[layer].sum()) for layer in layers},
        target=settings.describe("predicted class"),
        baseline="mean input" if start is not None else "zero input",
        examples=examples,
        facts={
            "steps": settings.steps,
            "batch": settings.batch,
            "forward_passes": forwards,
            "backward_passes": backwards,
            "logit_change": float(torch.cat(changes).mean()),
            "completeness": [
                {"layer": layer, "mean": float(delta.mean()), "max": float(delta.max())}
                for layer, delta in deltas.items()
            ],
        },
    )


def _batch(
    tape: Tape, one: Batch, start: Inputs | None, layers: tuple[str, ...], settings: Settings
) -> tuple[dict[str, Flow], Float64[Tensor, " example"]]:
    """Conductance of each unit for each example of a batch, and F(x) - F(x') of each example."""
    point = _path(one.inputs, start)
    with torch.no_grad():
        logits = tape.run(point(1.0))
        classes = _classes(logits, settings)
        after, end = _of(logits, classes).double(), {layer: tape[layer] for layer in layers}
        for layer in layers:
            check_finite(end[layer][: one.count], layer, one.start)
        before = _of(tape.run(point(0.0)), classes).double()
        outputs = {layer: tape[layer] for layer in layers}
    gradients: dict[str, Tensor] = {}
    flows: dict[str, Tensor] = {}
    for step in range(settings.steps):
        logits = tape.run(point((step + 0.5) / settings.steps))
        here = tape.gradients(_of(logits, classes))
        for layer in layers:
            slope = (gradients[layer] + here[layer]) / 2 if gradients else here[layer]
            add(flows, layer, per_unit(slope * (tape[layer] - outputs[layer])))
        gradients, outputs = here, {layer: tape[layer] for layer in layers}
    for layer in layers:
        add(flows, layer, per_unit(gradients[layer] * (end[layer] - outputs[layer])))
    return {layer: flow[: one.count] for layer, flow in flows.items()}, (after - before)[: one.count]


def _classes(logits: Logits, settings: Settings) -> Int64[Tensor, " example"]:
    if settings.target is None:
        return logits.argmax(dim=1)
    return torch.full_like(logits[:, 0], settings.classes(logits.shape[1])[0], dtype=torch.int64)


def _of(logits: Logits, classes: Int64[Tensor, " example"]) -> Float[Tensor, " example"]:
    """The logit of each example's class."""
    return logits.gather(1, classes[:, None])[:, 0]


def _path(inputs: Inputs, start: Inputs | None) -> Callable[[float], Inputs]:
    """The point at each position of the straight path from `start` (zero if None) to the inputs."""
    columns = _floats(inputs)
    starts = {key: torch.zeros_like(column) for key, column in columns.items()} if start is None else _floats(start)

    def point(position: float) -> Inputs:
        moved = {key: torch.lerp(starts[key], column, position) for key, column in columns.items()}
        return moved if isinstance(inputs, dict) else moved[""]

    return point


def _floats(inputs: Inputs) -> dict[str, Tensor]:
    columns = inputs if isinstance(inputs, dict) else {"": inputs}
    for key, column in columns.items():
        if not column.is_floating_point():
            raise DataError(
                f"conductance follows a path of inputs from a baseline and needs floats; {key or 'the input'} has "
                f"{column.dtype}; score a network that takes embeddings or scaled pixels, or use method='gndi'"
            )
    return columns


def _mean_input(loader: Iterable[Any], settings: Settings) -> Inputs:
    check_rereadable(loader)
    sums: dict[str, Tensor] = {}
    examples = 0
    for one in passes(loader, settings, "mean input"):
        columns = _floats(one.inputs)
        for key, column in columns.items():
            add(sums, key, column[: one.count].sum(dim=0, dtype=torch.float64))
        examples += one.count
    means = {key: (total / examples).to(columns[key].dtype) for key, total in sums.items()}
    return means if isinstance(one.inputs, dict) else means[""]
