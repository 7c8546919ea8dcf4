"""Mean absolute gradient of a logit with respect to a unit.

    G_u = E_x mean over positions of |dF/dh_u|

F is the logit before the softmax. One forward and one backward pass for all layers. A unit that is always 0 can have a
large gradient, and a saturated unit that carries the decision a gradient of 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from ndg.activations.batches import Batch, check_finite
from ndg.gradients.tape import Tape
from ndg.importance.batch_sums import BatchStudy, BatchSums
from ndg.importance.method import Method
from ndg.importance.methods.activation import mean_size
from ndg.importance.methods.conductance import chosen, classes_of
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings
from ndg.importance.validate import no_baseline


def gradient(model: nn.Module, loader: Iterable[Any], layers: tuple[str, ...], settings: Settings) -> Scores:
    """Scores of 0 or more in logits per unit of activation.

    F is the logit of the class that the network predicts, or of `settings.target`.
    """
    no_baseline(settings, "gradient")
    total = BatchStudy(_sizes, model, layers, settings).total(loader, "gradient")
    means = {layer: total.mean("sizes", layer) for layer in layers}
    return Scores(
        method="gradient",
        values=means,
        whole={layer: float(means[layer].mean()) for layer in layers},
        target=settings.describe("predicted class"),
        baseline="none",
        examples=total.examples,
        measure="logits per activation",
        facts={"batch": settings.options.batch, "forward_passes": total.forwards, "backward_passes": total.backwards},
    )


METHOD = Method(
    gradient,
    title="mean |gradient|",
    source="Simonyan, Vedaldi & Zisserman 2014, at inner layers",
    target="predicted class",
    measure="logits per activation",
    baselines=("zero",),
    laws=frozenset({"additive", "unread"}),
)


def _sizes(study: BatchStudy, tape: Tape, batch: Batch) -> BatchSums:
    logits = tape.run(batch)
    for layer in study.layers:
        check_finite(tape[layer][: batch.count], layer, batch)
    check_finite(logits[: batch.count], "logits", batch)
    gradients = tape.gradients(chosen(logits, classes_of(logits, study.settings)))
    sizes = {layer: mean_size(tape, layer, gradients[layer])[: batch.count].sum(dim=0) for layer in study.layers}
    return BatchSums({"sizes": sizes}, batch.count, backwards=1)
