"""Internal influence (Leino et al. 2018): mean gradient along a path.

    I_u = E_x integral over a from 0 to 1 of dF/dh_u at x' + a (x - x') da,    summed over the unit's positions

Their quantity of interest is the logit, their distribution of interest the straight path. Quadrature uses midpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ndg.gradients.paths import starting
from ndg.gradients.tape import Tape, add, per_unit
from ndg.importance.logits import checked_pass, chosen, classes_of
from ndg.importance.method import Method
from ndg.importance.methods.conductance import FIXED_STEPS
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings, passes


def influence(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Signed scores in logits per unit of activation.

    `whole` sums the units.

    F is the logit of the class predicted at x, or of `settings.target`. x' is zero, the mean input of the examples, or
    a given value; for token ids the path leads to their embeddings. A path has `settings.n_steps` gradients, 50 by
    default. Raises DataError for inputs that are neither floats nor token ids.
    """
    steps, rows = settings.n_steps or FIXED_STEPS, settings.options.batch
    values: dict[str, Tensor] = {}
    examples = passed = backwards = 0
    with (
        starting(model, loader, settings.baselines, rows) as start,
        Tape(model, layers, each=settings.each_position) as tape,
    ):
        for batch in passes(loader, settings, "internal influence"):
            path = start.path(batch.inputs)
            totals: dict[str, Tensor] = {}
            with torch.no_grad():
                classes = classes_of(checked_pass(tape, batch, path(1.0)), settings)
            together = max(1, rows // len(classes))
            for first in range(0, steps, together):
                these = range(first, min(first + together, steps))
                logits = tape.run(path(*((step + 0.5) / steps for step in these)))
                gradients = tape.gradients(chosen(logits, classes.repeat(len(these))))
                for layer in layers:
                    add(totals, layer, per_unit(gradients[layer]).unflatten(0, (-1, len(classes))).sum(dim=0))
                backwards += 1
            for layer in layers:
                add(values, layer, totals[layer][: batch.count].sum(dim=0) / steps)
            examples, passed = examples + batch.count, passed + 1
    means = {layer: total / examples for layer, total in values.items()}
    facts = {"steps": steps, "batch": rows, "forward_passes": passed + backwards, "backward_passes": backwards}
    return METHOD.scores(settings, means, examples, baseline=start.name, facts=facts)


METHOD = Method(
    influence,
    title="internal influence",
    source="Leino et al. 2018",
    target="predicted class",
    measure="logits per activation",
    steps=True,
    laws=frozenset({"additive", "unread"}),
)
