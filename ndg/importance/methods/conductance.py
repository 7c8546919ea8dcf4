"""Conductance (Dhamdhere, Sundararajan & Yan 2018): flow of a logit through a unit.

    Cond_y(x) = integral over a from 0 to 1 of dF/dy * dy/da da,    along the path x' + a (x - x')

F is the logit before the softmax. Completeness: over a layer that every path from inputs to logits crosses, the units'
conductances add up to F(x) - F(x').

Quadrature: n gradients g_k at a = (t + t^3) / 2 for the midpoints t = (k - 1/2) / n, and the outputs y_k there and at
both ends; the sum of g_k (y_(k+1) - y_(k-1)) / 2. Between two positions the mean of their gradients meets the change of
y; before the first and behind the last the one gradient holds. Positions are twice as dense near the baseline as evenly
spread ones, since small biases make ReLUs and max-pools switch there: at 16 and 50 steps that took a tenth to two
thirds of the error from trained networks.
Second order in 1/n where the network is smooth, first order at the kinks of a ReLU, and exact for ReLU networks without
biases from a zero baseline, where a gradient taken at x' itself would be wrong: there all units stand on their kink.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from ndg.activations.batches import Batch, check_finite
from ndg.activations.hooks import find_layer
from ndg.gradients.fast_pool import QuickPools, along
from ndg.gradients.paths import Path, crossed, starting
from ndg.gradients.tape import Tape, add, check_gradients
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings, passes
from ndg.progress import log
from ndg.units.layout import View
from ndg.units.resolve import resolve_layer

FIRST_STEPS, MOST_STEPS, FIXED_STEPS = 16, 4096, 50
"""First and largest number of gradients of a path, and the number if no layer is complete."""

TOLERANCE = 1e-3
"""Completeness error, relative to F(x) - F(x'), below which the steps of an example are not doubled."""

Logits = Float[Tensor, "example logit"]
Flow = Float64[Tensor, "example unit"]
Changes = Float64[Tensor, " example"]


def conductance(model: nn.Module, loader: Iterable[Any], layers: tuple[str, ...], settings: Settings) -> Scores:
    """Signed scores in logits: mean total conductance.

    F is the logit of the class that the network predicts at x, or of `settings.target`. x' is zero, the mean input of
    the examples, or given. A channel sums its positions; `whole` sums the units. With `settings.n_steps` as many
    gradients are taken; without, an example's steps are doubled from 16 until the units of every layer that all paths
    cross add up to F(x) - F(x') to 0.1 %, or to 4,096 steps; `facts["unfinished"]` counts the examples that got no
    further. A pass holds at most `settings.options.batch` rows, so memory does not grow with the steps.

    `facts["completeness"]` has, for each layer, whether all paths `cross` it, mean and largest absolute difference
    between the sum over units and F(x) - F(x'), in logits, and `relative`: the sum of the absolute differences over the
    sum of |F(x) - F(x')|. A layer beside which a path passes, as in a residual branch, is not complete however fine the
    steps. `facts["logit_change"]` is the mean of |F(x) - F(x')|. Source: Dhamdhere et al. 2018, Definition 1 and
    Remark 1.

    Of token ids the path leads to what an `nn.Embedding` makes of them. Raises DataError for other inputs that are not
    floats, since between integers there is no path.
    """
    values: dict[str, Tensor] = {}
    errors: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    changes: list[Tensor] = []
    work = Work()
    crossing: tuple[str, ...] | None = None
    with (
        starting(model, loader, settings.baselines, settings.options.batch) as start,
        Tape(model, layers, each=settings.each_position, copies=False) as tape,
        QuickPools(),
    ):
        for batch in passes(loader, settings, "conductance"):
            path = start.path(batch.inputs)
            if crossing is None:
                alone = path.rows(torch.zeros(1, dtype=torch.long))(1.0)
                whole = (
                    layer for layer in layers if not resolve_layer(model, layer).steps
                )  # later gates read earlier ones
                crossing = tuple(layer for layer in whole if crossed(tape.run, find_layer(model, layer), alone))
            flows, change = _batch(tape, batch, path, layers, crossing, settings, work)
            changes.append(change.abs())
            for layer, flow in flows.items():
                add(values, layer, flow.sum(dim=0))
                errors[layer].append((flow.sum(dim=1) - change).abs())
    change = torch.cat(changes)
    examples = len(change)
    if work.unfinished:
        log.warning(
            "conductance: %d of %d examples are not complete after %d steps", work.unfinished, examples, MOST_STEPS
        )
    means = {layer: (values[layer] / examples).cpu().numpy() for layer in layers}
    deltas = {layer: torch.cat(errors[layer]) for layer in layers}
    return Scores(
        method="conductance",
        values=means,
        whole={layer: float(means[layer].sum()) for layer in layers},
        target=settings.describe("predicted class"),
        baseline=start.name,
        examples=examples,
        facts={
            "steps": work.most,
            "batch": settings.options.batch,
            "forward_passes": work.forwards,
            "backward_passes": work.backwards,
            "gradients": work.gradients,
            "unfinished": work.unfinished,
            "logit_change": float(change.mean()),
            "completeness": [
                {
                    "layer": layer,
                    "cross": layer in (crossing or ()),
                    "mean": float(delta.mean()),
                    "max": float(delta.max()),
                    "relative": float(delta.sum() / change.sum()) if float(change.sum()) else 0.0,
                }
                for layer, delta in deltas.items()
            ],
        },
    )


METHOD = Method(
    conductance,
    title="conductance",
    source="Dhamdhere, Sundararajan & Yan 2018",
    target="predicted class",
    steps=True,
    laws=frozenset({"additive", "unread"}),
)


@dataclass
class Work:
    """Counts of passes and gradients, and the most steps."""

    forwards: int = 0
    backwards: int = 0
    gradients: int = 0
    most: int = 0
    unfinished: int = 0


def _batch(
    tape: Tape,
    batch: Batch,
    path: Path,
    layers: tuple[str, ...],
    crossing: tuple[str, ...],
    settings: Settings,
    work: Work,
) -> tuple[dict[str, Flow], Changes]:
    """Conductance of each unit and example, and F(x) - F(x')."""
    with torch.no_grad():
        logits = tape.run(path(1.0))
        for layer in layers:
            check_finite(tape[layer][: batch.count], layer, batch)
        check_finite(logits[: batch.count], "logits", batch)
        classes, ends = classes_of(logits, settings), {layer: tape[layer] for layer in layers}
        change = chosen(logits, classes).double() - chosen(tape.run(path(0.0)), classes).double()
        check_finite(change[: batch.count, None], "logits at the baseline", batch)
        begins = {layer: tape[layer] for layer in layers}
    work.forwards += 2
    steps = settings.n_steps or (FIRST_STEPS if crossing else FIXED_STEPS)
    flows = _flows(tape, path, classes, begins, ends, steps, settings, work)
    work.most = max(work.most, steps)
    left = torch.arange(batch.count, device=change.device)
    while settings.n_steps is None and crossing:
        worst = torch.stack([(flows[layer].sum(dim=1) - change).abs()[left] for layer in crossing]).amax(dim=0)
        left = left[worst > TOLERANCE * change[left].abs()]
        if not len(left) or 2 * steps > MOST_STEPS:
            break
        steps *= 2
        first, last = ({layer: at[layer][left] for layer in layers} for at in (begins, ends))
        finer = _flows(tape, path.rows(left), classes[left], first, last, steps, settings, work)
        for layer in layers:
            flows[layer][left] = finer[layer]
        work.most = max(work.most, steps)
    else:
        left = left[:0]
    work.unfinished += len(left)
    return {layer: flow[: batch.count] for layer, flow in flows.items()}, change[: batch.count]


def _flows(
    tape: Tape,
    path: Path,
    classes: Int64[Tensor, " example"],
    begins: dict[str, View],
    ends: dict[str, View],
    steps: int,
    settings: Settings,
    work: Work,
) -> dict[str, Flow]:
    """Conductance of each unit and example along a path."""
    count = len(classes)
    before: dict[str, View] = {}
    here: dict[str, View] = {}
    slopes: dict[str, View] = {}
    flows: dict[str, Tensor] = {}
    together = max(1, settings.options.batch // count)
    for first in range(0, steps, together):
        these = range(first, min(first + together, steps))
        logits = tape.run(path(*(_position((step + 0.5) / steps) for step in these)))
        found = tape.gradients(chosen(logits, classes.repeat(len(these))), checked=False)
        for layer in ends:
            values, gradients = (part.unflatten(0, (-1, count)) for part in (tape[layer], found[layer]))
            for value, gradient in zip(values, gradients, strict=True):
                if layer in here:
                    add(flows, layer, along(slopes[layer], value, before[layer]))
                    before[layer] = here[layer]
                else:
                    before[layer] = 2 * begins[layer] - value  # the first gradient also covers the start of the path
                here[layer], slopes[layer] = value, gradient
        work.forwards, work.backwards = work.forwards + 1, work.backwards + 1
        work.gradients += len(these) * count
    for layer in ends:
        add(flows, layer, along(slopes[layer], 2 * ends[layer] - here[layer], before[layer]))
        check_gradients([flows[layer]], layer)  # NaN propagates through sums
    return {layer: flow / 2 for layer, flow in flows.items()}


def _position(share: float) -> float:
    """Position on the path of a share of the steps."""
    return (share + share**3) / 2


def classes_of(logits: Logits, settings: Settings) -> Int64[Tensor, " example"]:
    """Class of F for each example: the target or the predicted class."""
    if settings.target is None:
        return logits.argmax(dim=1)
    return torch.full_like(logits[:, 0], settings.classes(logits.shape[1])[0], dtype=torch.int64)


def chosen(logits: Logits, classes: Int64[Tensor, " example"]) -> Float[Tensor, " example"]:
    """Logit of each example's class."""
    return logits.gather(1, classes[:, None])[:, 0]
