"""Mean absolute gradient of a logit with respect to a unit.

G_u = E_x mean over positions of |dF/dh_u|,    F the logit before the softmax
"""

from __future__ import annotations

import numpy as np
from torch import nn

from ndg.activations.batches import Batch
from ndg.gradients.tape import Tape
from ndg.importance.batch_sums import BatchStudy, Sums
from ndg.importance.logits import checked_pass, chosen, classes_of
from ndg.importance.method import Method
from ndg.importance.methods.activation import mean_size
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings


def gradient(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Scores of 0 or more in logits per unit of activation."""
    total = BatchStudy(model, layers, settings, _sizes).total(loader, "gradient")
    return METHOD.scores(settings, total.means("sizes"), total.examples, whole=np.mean, facts=total.facts(settings))


METHOD = Method(
    gradient,
    title="mean |gradient|",
    source="Simonyan, Vedaldi & Zisserman 2014, at inner layers",
    target="predicted class",
    measure="logits per activation",
    baselines=("zero",),
    laws=frozenset({"additive", "unread"}),
)


def _sizes(study: BatchStudy, tape: Tape, batch: Batch) -> Sums:
    logits = checked_pass(tape, batch)
    gradients = tape.gradients(chosen(logits, classes_of(logits, study.settings)))
    sizes = {layer: mean_size(tape, layer, gradients[layer])[: batch.count].sum(dim=0) for layer in study.layers}
    return Sums({"sizes": sizes}, {"backwards": 1})
