"""First-order effect of neutralising a unit on one logit: gradient times activation.

    T_u = E_x sum over positions of dF/dh_u * (h_u - b_u),    F the logit before the softmax

Option `absolute` gives the Taylor score of Molchanov et al. 2017, up to their division by the number of positions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ndg.activations.batches import Batch
from ndg.errors import ConfigError
from ndg.gradients.tape import Tape, per_unit
from ndg.importance.batch_sums import BatchStudy, Sums, read_neutrals
from ndg.importance.logits import check_numbers, chosen, classes_of
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings
from ndg.interventions.baselines import changed


def gradient_x_activation(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Signed scores in logits: first-order decrease of F.

    F is the logit of the predicted class or `settings.target`. Option `absolute` takes absolute values before the mean
    over examples. `whole` is the unrestricted effect.
    """
    absolute = settings.own["absolute"]
    if not isinstance(absolute, bool):
        raise ConfigError(f"option absolute is True or False; got {absolute!r}")
    neutrals = read_neutrals(model, loader, layers, settings)
    total = BatchStudy(model, layers, settings, _effects, neutrals).total(loader, "gradient x activation")
    return METHOD.scores(
        settings,
        total.means("units"),
        total.examples,
        whole=total.means("whole"),
        baseline=neutrals.name,
        facts=total.facts(settings, neutrals.passes) | ({"absolute": True} if absolute else {}),
    )


METHOD = Method(
    gradient_x_activation,
    title="gradient x activation",
    source="Shrikumar et al. 2016; Molchanov et al. 2017",
    target="predicted class",
    options={"absolute": False},
    laws=frozenset({"additive", "baseline", "unread", "neutral"}),
)


def _effects(study: BatchStudy, tape: Tape, batch: Batch) -> Sums:
    assert study.neutrals is not None
    logits = tape.run(batch)
    changes = {layer: changed(tape, layer, study.neutrals) for layer in study.layers}
    check_numbers(batch, changes, logits)
    gradients = tape.gradients(chosen(logits, classes_of(logits, study.settings)))
    units = {layer: per_unit(gradients[layer] * change)[: batch.count] for layer, change in changes.items()}
    whole = {layer: effects.sum(dim=1) for layer, effects in units.items()}
    size = torch.abs if study.settings.own["absolute"] else Tensor.clone
    sums = {
        name: {layer: size(effects).sum(dim=0) for layer, effects in part.items()}
        for name, part in (("units", units), ("whole", whole))
    }
    return Sums(sums, {"backwards": 1})
