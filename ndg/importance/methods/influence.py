"""Internal influence (Leino et al. 2018): mean gradient along a path.

    I_u = E_x integral over a from 0 to 1 of dF/dh_u at x' + a (x - x') da,    summed over the unit's positions

This is their influence with the logit as quantity of interest and the straight path as distribution of interest. It is
conductance without the change of the unit: what a unit could do, not what it did. Quadrature uses midpoints.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ndg.activations.batches import Batch, check_finite
from ndg.gradients.paths import Path, starting
from ndg.gradients.tape import Tape, add, per_unit
from ndg.importance.method import Method
from ndg.importance.methods.conductance import FIXED_STEPS, Flow, chosen, classes_of
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings, passes


def influence(model: nn.Module, loader: Iterable[Any], layers: tuple[str, ...], settings: Settings) -> Scores:
    """Signed scores in logits per unit of activation; `whole` sums the units.

    F is the logit of the class predicted at x, or of `settings.target`. x' is zero, the mean input of the examples, or
    a given value. A path has `settings.n_steps` gradients, 50 by default. A pass holds at most `settings.options.batch`
    rows. For token ids the path leads to their embeddings. Raises DataError for other inputs that are not floats.
    """
    steps = settings.n_steps or FIXED_STEPS
    values: dict[str, Tensor] = {}
    examples = forwards = backwards = 0
    with (
        starting(model, loader, settings.baselines, settings.options.batch) as start,
        Tape(model, layers, each=settings.each_position) as tape,
    ):
        for batch in passes(loader, settings, "internal influence"):
            totals, ran = _batch(tape, batch, start.path(batch.inputs), layers, steps, settings)
            for layer in layers:
                add(values, layer, totals[layer][: batch.count].sum(dim=0) / steps)
            examples, forwards, backwards = examples + batch.count, forwards + 1 + ran, backwards + ran
    means = {layer: (values[layer] / examples).cpu().numpy() for layer in layers}
    return Scores(
        method="influence",
        values=means,
        whole={layer: float(means[layer].sum()) for layer in layers},
        target=settings.describe("predicted class"),
        baseline=start.name,
        examples=examples,
        measure="logits per activation",
        facts={
            "steps": steps,
            "batch": settings.options.batch,
            "forward_passes": forwards,
            "backward_passes": backwards,
        },
    )


METHOD = Method(
    influence,
    title="internal influence",
    source="Leino et al. 2018",
    target="predicted class",
    measure="logits per activation",
    steps=True,
    laws=frozenset({"additive", "unread"}),
)


def _batch(
    tape: Tape, batch: Batch, path: Path, layers: tuple[str, ...], steps: int, settings: Settings
) -> tuple[dict[str, Flow], int]:
    """Summed gradients along the path, and the number of passes."""
    with torch.no_grad():
        logits = tape.run(path(1.0))
        for layer in layers:
            check_finite(tape[layer][: batch.count], layer, batch)
        check_finite(logits[: batch.count], "logits", batch)
        classes = classes_of(logits, settings)
    sums: dict[str, Tensor] = {}
    together = max(1, settings.options.batch // len(classes))
    ran = 0
    for first in range(0, steps, together):
        these = range(first, min(first + together, steps))
        logits = tape.run(path(*((step + 0.5) / steps for step in these)))
        gradients = tape.gradients(chosen(logits, classes.repeat(len(these))))
        for layer in layers:
            add(sums, layer, per_unit(gradients[layer]).unflatten(0, (-1, len(classes))).sum(dim=0))
        ran += 1
    return sums, ran
