"""Mean size of the difference between a unit and its neutral state.

    A_u = E_x mean over positions of |h_u(x) - b_u|

The cheapest score on data: one forward pass for all layers. It ignores what the network does with a unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from ndg.activations.batches import Batch, check_finite
from ndg.gradients.tape import Tape, per_unit
from ndg.importance.batch_sums import BatchStudy, BatchSums
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings
from ndg.importance.validate import no_class
from ndg.interventions.baselines import Neutrals, changed


def activation(model: nn.Module, loader: Iterable[Any], layers: tuple[str, ...], settings: Settings) -> Scores:
    """Scores of 0 or more in units of the activation.

    The mean over positions skips padding. With a zero baseline this is the mean |activation|; with the mean baseline it
    is the mean absolute deviation.
    """
    no_class(settings, "activation")
    with torch.no_grad(), Tape(model, layers, each=settings.each_position) as tape:
        neutrals = Neutrals.read(tape, loader, layers, *settings.neutral)
    total = BatchStudy(_sizes, model, layers, settings, neutrals, grad=False).total(loader, "activation")
    means = {layer: total.mean("sizes", layer) for layer in layers}
    return Scores(
        method="activation",
        values=means,
        whole={layer: float(means[layer].mean()) for layer in layers},
        target="no class",
        baseline=neutrals.name,
        examples=total.examples,
        measure="activation",
        facts={
            "batch": settings.options.batch,
            "forward_passes": total.forwards * (1 + neutrals.passes),
            "backward_passes": 0,
        },
    )


METHOD = Method(
    activation,
    title="mean |activation|",
    source="comparator of Dhamdhere, Sundararajan & Yan 2018",
    measure="activation",
    laws=frozenset({"additive", "baseline", "neutral"}),
)


def _sizes(study: BatchStudy, tape: Tape, batch: Batch) -> BatchSums:
    assert study.neutrals is not None
    tape.run(batch)
    sizes = {}
    for layer in study.layers:
        change = changed(tape, layer, study.neutrals)
        check_finite(change[: batch.count], layer, batch)
        sizes[layer] = mean_size(tape, layer, change)[: batch.count].sum(dim=0)
    return BatchSums({"sizes": sizes}, batch.count)


def mean_size(
    tape: Tape, layer: str, values: Float[Tensor, "example unit position"]
) -> Float64[Tensor, "example unit"]:
    """Mean absolute value over the positions of each unit, without padding."""
    kept = tape.kept(layer)
    sizes = per_unit(values.abs())
    return sizes / (values.shape[2] if kept is None else kept.sum(dim=2).clamp(min=1))
