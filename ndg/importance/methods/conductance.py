"""Conductance (Dhamdhere, Sundararajan & Yan 2018): flow of a logit through a unit.

    Cond_y(x) = integral over a from 0 to 1 of dF/dy * dy/da da,    along the path x' + a (x - x')

F is the logit before the softmax. Completeness: over a layer that every path from inputs to logits crosses, the units'
conductances add up to F(x) - F(x').

Quadrature: n gradients g_k at a = (t + t^3) / 2 for the midpoints t = (k - 1/2) / n, and the outputs y_k there and at
both ends; the sum of g_k (y_(k+1) - y_(k-1)) / 2. Positions are dense near the baseline, where small biases make ReLUs
and max-pools switch. It is exact for ReLU networks without biases from a zero baseline (see docs/importance).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from ndg.activations.batches import Batch, check_finite
from ndg.activations.hooks import find_layer
from ndg.gradients.fast_pool import QuickPools, along
from ndg.gradients.paths import Path, crossed, starting
from ndg.gradients.tape import Tape, add, check_gradients
from ndg.importance.logits import checked_pass, chosen, classes_of
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings, passes
from ndg.progress import log
from ndg.units.layout import View

FIRST_STEPS, MOST_STEPS, FIXED_STEPS = 16, 4096, 50
"""First and largest number of gradients of a path, and the number if no layer is complete."""

TOLERANCE = 1e-3
"""Completeness error, relative to F(x) - F(x'), below which the steps of an example are not doubled."""

Flow = Float64[Tensor, "example unit"]
Changes = Float64[Tensor, " example"]
Views = dict[str, View]


def conductance(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Signed scores in logits: mean total conductance.

    F is the logit of the class predicted at x, or of `settings.target`. x' is zero, the mean input of the examples, or
    given; for token ids the path leads to their embeddings. A channel sums its positions; `whole` sums the units.
    Without `settings.n_steps`, an example's steps are doubled from 16 until the units of every layer that all paths
    cross add up to F(x) - F(x') to 0.1 %, or to 4,096 steps; `facts["unfinished"]` counts those that stopped there.
    `facts["completeness"]` has, for each layer, whether all paths `cross` it, the mean and largest absolute difference
    between the sum over units and F(x) - F(x'), in logits, and `relative`, their sum over that of |F(x) - F(x')|.
    Raises DataError for inputs that are neither floats nor token ids.
    """
    values: dict[str, Tensor] = {}
    errors: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    changes: list[Tensor] = []
    with (
        starting(model, loader, settings.baselines, settings.options.batch) as start,
        Tape(model, layers, each=settings.each_position, copies=False) as tape,
        QuickPools(),
    ):
        paths = _Paths(tape, settings)
        for batch in passes(loader, settings, "conductance"):
            path = start.path(batch.inputs)
            if not changes:
                alone = path.rows(torch.zeros(1, dtype=torch.long))(1.0)
                paths.crossing = tuple(
                    layer  # later gates read earlier ones
                    for layer in layers
                    if not tape.layers[layer].steps and crossed(tape.run, find_layer(model, layer), alone)
                )
            flows, change = paths.batch(batch, path)
            changes.append(change.abs())
            for layer, flow in flows.items():
                add(values, layer, flow.sum(dim=0))
                errors[layer].append((flow.sum(dim=1) - change).abs())
    change = torch.cat(changes)
    examples, unfinished = len(change), paths.unfinished
    if unfinished:
        log.warning("conductance: %d of %d examples are not complete after %d steps", unfinished, examples, MOST_STEPS)
    return METHOD.scores(
        settings,
        {layer: values[layer] / examples for layer in layers},
        examples,
        baseline=start.name,
        facts={
            "steps": paths.most,
            "batch": settings.options.batch,
            "forward_passes": paths.forwards,
            "backward_passes": paths.backwards,
            "gradients": paths.gradients,
            "unfinished": unfinished,
            "logit_change": float(change.mean()),
            "completeness": [
                {"layer": layer, "cross": layer in paths.crossing, **_completeness(torch.cat(errors[layer]), change)}
                for layer in layers
            ],
        },
    )


def _completeness(delta: Changes, change: Changes) -> dict[str, float]:
    relative = float(delta.sum() / change.sum()) if float(change.sum()) else 0.0
    return {"mean": float(delta.mean()), "max": float(delta.max()), "relative": relative}


METHOD = Method(
    conductance,
    title="conductance",
    source="Dhamdhere, Sundararajan & Yan 2018",
    target="predicted class",
    steps=True,
    laws=frozenset({"additive", "unread"}),
)


@dataclass(eq=False)
class _Paths:
    """Quadrature along paths, with counts of passes and gradients."""

    tape: Tape
    settings: Settings
    crossing: tuple[str, ...] = ()
    forwards: int = 0
    backwards: int = 0
    gradients: int = 0
    most: int = 0
    unfinished: int = 0

    def batch(self, batch: Batch, path: Path) -> tuple[dict[str, Flow], Changes]:
        """Conductance of each unit and example, and F(x) - F(x')."""
        tape, settings, crossing = self.tape, self.settings, self.crossing
        with torch.no_grad():
            logits = checked_pass(tape, batch, path(1.0))
            classes, ends = classes_of(logits, settings), {layer: tape[layer] for layer in tape.layers}
            change = chosen(logits, classes).double() - chosen(tape.run(path(0.0)), classes).double()
            check_finite(change[: batch.count, None], "logits at the baseline", batch)
            begins = {layer: tape[layer] for layer in tape.layers}
        self.forwards += 2
        steps = settings.n_steps or (FIRST_STEPS if crossing else FIXED_STEPS)
        flows = self.flows(path, classes, begins, ends, steps)
        left = torch.arange(batch.count, device=change.device)
        while settings.n_steps is None and crossing:
            worst = torch.stack([(flows[layer].sum(dim=1) - change).abs()[left] for layer in crossing]).amax(dim=0)
            left = left[worst > TOLERANCE * change[left].abs()]
            if not len(left) or 2 * steps > MOST_STEPS:
                self.unfinished += len(left)
                break
            steps *= 2
            first, last = ({layer: view[left] for layer, view in views.items()} for views in (begins, ends))
            for layer, finer in self.flows(path.rows(left), classes[left], first, last, steps).items():
                flows[layer][left] = finer
        self.most = max(self.most, steps)
        return {layer: flow[: batch.count] for layer, flow in flows.items()}, change[: batch.count]

    def flows(
        self, path: Path, classes: Int64[Tensor, " example"], begins: Views, ends: Views, steps: int
    ) -> dict[str, Flow]:
        """Conductance of each unit and example along a path."""
        count = len(classes)
        before: Views = {}
        here: Views = {}
        slopes: Views = {}
        flows: dict[str, Tensor] = {}
        together = max(1, self.settings.options.batch // count)
        for first in range(0, steps, together):
            these = range(first, min(first + together, steps))
            shares = ((step + 0.5) / steps for step in these)
            logits = self.tape.run(path(*((share + share**3) / 2 for share in shares)))
            by_layer = self.tape.gradients(chosen(logits, classes.repeat(len(these))), checked=False)
            for layer in ends:
                values, gradients = (part.unflatten(0, (-1, count)) for part in (self.tape[layer], by_layer[layer]))
                for value, gradient in zip(values, gradients, strict=True):
                    if layer in here:
                        add(flows, layer, along(slopes[layer], value, before[layer]))
                        before[layer] = here[layer]
                    else:
                        before[layer] = 2 * begins[layer] - value  # it also covers the start
                    here[layer], slopes[layer] = value, gradient
            self.forwards, self.backwards = self.forwards + 1, self.backwards + 1
            self.gradients += len(these) * count
        for layer in ends:
            add(flows, layer, along(slopes[layer], 2 * ends[layer] - here[layer], before[layer]))
            check_gradients([flows[layer]], layer)  # NaN propagates through sums
        return {layer: flow / 2 for layer, flow in flows.items()}
