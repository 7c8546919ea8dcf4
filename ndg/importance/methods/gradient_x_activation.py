"""First-order effect of neutralising a unit on one logit: gradient times activation.

    T_u = E_x sum over positions of dF/dh_u * (h_u - b_u)

F is the logit before the softmax. G-NDI is the norm of this over several logits. Option `absolute` gives the Taylor
score of Molchanov et al. 2017, up to their division by the number of positions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from ndg.activations.batches import check_finite
from ndg.errors import ConfigError
from ndg.gradients.tape import Tape, add, per_unit
from ndg.importance.method import Method
from ndg.importance.methods.conductance import chosen, classes_of
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings, passes
from ndg.interventions.baselines import Neutrals, changed


def gradient_x_activation(
    model: nn.Module, loader: Iterable[Any], layers: tuple[str, ...], settings: Settings
) -> Scores:
    """Signed scores in logits: first-order decrease of F.

    F is the logit of the predicted class, or of `settings.target`. Option `absolute` takes absolute values before the
    mean over examples. `whole` is the unrestricted effect.
    """
    absolute = settings.own["absolute"]
    if not isinstance(absolute, bool):
        raise ConfigError(f"option absolute is True or False; got {absolute!r}")
    values: dict[str, Tensor] = {}
    whole: dict[str, Tensor] = {}
    examples = forwards = 0
    with Tape(model, layers, each=settings.each_position) as tape:
        neutrals = Neutrals.read(tape, loader, layers, *settings.neutral)
        for batch in passes(loader, settings, "gradient x activation"):
            logits = tape.run(batch)
            changes = {layer: changed(tape, layer, neutrals) for layer in layers}
            for layer in layers:
                check_finite(changes[layer][: batch.count], layer, batch)
            check_finite(logits[: batch.count], "logits", batch)
            gradients = tape.gradients(chosen(logits, classes_of(logits, settings)))
            for layer in layers:
                effects = per_unit(gradients[layer] * changes[layer])[: batch.count]
                both = effects, effects.sum(dim=1)
                units, layer_effect = (each.abs() for each in both) if absolute else both
                add(values, layer, units.sum(dim=0))
                add(whole, layer, layer_effect.sum(dim=0))
            examples, forwards = examples + batch.count, forwards + 1
    return Scores(
        method="gradient_x_activation",
        values={layer: (values[layer] / examples).cpu().numpy() for layer in layers},
        whole={layer: float(whole[layer] / examples) for layer in layers},
        target=settings.describe("predicted class"),
        baseline=neutrals.name,
        examples=examples,
        facts={
            "batch": settings.options.batch,
            "forward_passes": forwards * (1 + neutrals.passes),
            "backward_passes": forwards,
        }
        | ({"absolute": True} if absolute else {}),
    )


METHOD = Method(
    gradient_x_activation,
    title="gradient x activation",
    source="Shrikumar et al. 2016; Molchanov et al. 2017",
    target="predicted class",
    options={"absolute": False},
    laws=frozenset({"additive", "baseline", "unread", "neutral"}),
)
