"""Mean size of the difference between a unit and its neutral state.

A_u = E_x mean over positions of |h_u(x) - b_u|
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from torch import Tensor, nn

from ndg.activations.batches import Batch, check_finite
from ndg.gradients.tape import Tape, per_unit
from ndg.importance.batch_sums import BatchStudy, Sums, read_neutrals
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings
from ndg.interventions.baselines import changed
from ndg.units.layout import View


def activation(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Scores of 0 or more in units of the activation.

    The mean over positions skips padding.
    """
    neutrals = read_neutrals(model, loader, layers, settings)
    total = BatchStudy(model, layers, settings, _sizes, neutrals, grad=False).total(loader, "activation")
    means, facts = total.means("sizes"), total.facts(settings, neutrals.passes)
    return METHOD.scores(settings, means, total.examples, whole=np.mean, baseline=neutrals.name, facts=facts)


METHOD = Method(
    activation,
    title="mean |activation|",
    source="comparator of Dhamdhere, Sundararajan & Yan 2018",
    measure="activation",
    laws=frozenset({"additive", "baseline", "neutral"}),
)


def _sizes(study: BatchStudy, tape: Tape, batch: Batch) -> Sums:
    assert study.neutrals is not None
    tape.run(batch)
    sizes = {}
    for layer in study.layers:
        change = changed(tape, layer, study.neutrals)
        check_finite(change[: batch.count], layer, batch)
        sizes[layer] = mean_size(tape, layer, change)[: batch.count].sum(dim=0)
    return Sums({"sizes": sizes}, {})


def mean_size(tape: Tape, layer: str, values: View) -> Float64[Tensor, "example unit"]:
    """Mean absolute value over the positions of each unit, without padding."""
    kept = tape.kept(layer)
    sizes = per_unit(values.abs())
    return sizes / (values.shape[2] if kept is None else kept.sum(dim=2).clamp(min=1))
