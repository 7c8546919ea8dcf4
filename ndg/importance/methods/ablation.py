"""Exact ablation: change of the output when a unit takes its neutral state.

    logits     ||f(x) - f_u(x)||_2, or with a target the lost logit f(x)_c - f_u(x)_c
    loss       cross-entropy of the true class after, minus before
    accuracy   1 if a correct prediction becomes wrong, -1 if a wrong one becomes correct

It costs one pass of the part after the layer for each unit and example whose unit is not neutral already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn
from torch.nn import functional

from ndg.activations.batches import Batch, fixed
from ndg.activations.labels import true_labels
from ndg.errors import ConfigError, DataError
from ndg.gradients.tape import Tape
from ndg.importance.batch_sums import ScoreStudy, Sums, Task, read_neutrals
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings, passes
from ndg.interventions.baselines import Neutrals
from ndg.interventions.partial_forward import Logits, PartialForward, Rows
from ndg.run_study import run_study

MEASURES = ("logits", "loss", "accuracy")

SHARE = 64
"""Number of units per task."""

Damage = Float64[Tensor, "unit example"]
Labels = Int64[Tensor, " _"] | None


def ablation(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Exact mean damage of each unit and each whole layer.

    The neutral state is zero, the mean over the examples at each position, `resample` (the values of another example,
    drawn among the first 256), or a given value. Option `measure` is `logits`, `loss` or `accuracy`; the last two need
    true classes. `errors` are standard errors of the mean.
    """
    measure = settings.own["measure"]
    if measure not in MEASURES:
        raise ConfigError(f"damage is measured in {', '.join(MEASURES)}; got {measure!r}")
    neutrals = read_neutrals(model, loader, layers, settings)
    study = Study(model, layers, settings, neutrals, measure)
    total = run_study(study, _tasks(study, loader), "ablation", settings.options).total
    examples, means, squares = total.examples, total.means("damage"), total.means("squares")
    spread = {layer: np.maximum(squares[layer] - means[layer] ** 2, 0) for layer in layers}
    return METHOD.scores(
        settings,
        {layer: means[layer] for layer in layers},
        examples,
        whole=total.means("whole"),
        target=settings.describe("true class" if measure != "logits" else "all logits"),
        baseline=neutrals.name,
        measure=measure,
        errors={layer: np.sqrt(spread[layer] / max(examples - 1, 1)) for layer in layers},
        facts={
            "batch": settings.options.batch,
            "pairs": examples * sum(len(values) for values in means.values()),
            "passed": total.counts["passed"],
        },
    )


METHOD = Method(
    ablation,
    title="exact ablation",
    source="mean damage, as in Nagy 2025",
    target="all logits",
    options={"measure": "logits"},
    baselines=("zero", "mean", "resample"),
    harm=True,
    laws=frozenset({"additive", "baseline", "unread", "neutral"}),
)


@dataclass(frozen=True, eq=False)
class Study(ScoreStudy):
    """Ablation of units, for a worker."""

    neutrals: Neutrals
    measure: str

    decode = staticmethod(Sums.from_dict)
    check = range(1)

    def run(self, task: Task) -> Sums:
        """Damage of the units of one task."""
        settings, layer, batch = self.settings, task.layer, task.batch
        target = None if settings.target is None else int(settings.target)
        with (
            torch.inference_mode(False),
            fixed(self.model, settings.options.threads),
            PartialForward(self.model, layer, batch, self.neutrals, each=settings.each_position) as cut,
        ):
            labels = labels_of(batch, cut.logits.shape[1], self.measure)
            damages, passed = damage(cut, task.part, self.measure, target, labels)
            sums = torch.zeros(2, cut.differs.shape[1], dtype=torch.float64)
            sums[:, task.part.start : task.part.stop] = torch.stack([damages, damages.square()]).sum(dim=2)
            whole, first = torch.zeros((), dtype=torch.float64), task.part.start == 0
            if first:
                rows = torch.arange(batch.count, device=cut.logits.device)
                after = cut.run(rows, torch.ones_like(cut.differs))
                whole = difference(cut.logits, after, self.measure, target, _of(labels, rows)).sum().cpu()
        named = {"damage": {layer: sums[0]}, "squares": {layer: sums[1]}, "whole": {layer: whole}}
        examples = batch.count if first and layer == self.layers[0] else 0
        return Sums(named, {"examples": examples, "passed": passed})


def damage(
    cut: PartialForward, units: Iterable[int], measure: str, target: int | None, labels: Labels
) -> tuple[Damage, int]:
    """Damage of each unit and example, and the rows passed."""
    indices = torch.as_tensor(list(units))
    damages = torch.zeros((len(indices), len(cut.differs)), dtype=torch.float64)
    pairs = cut.differs[:, indices.to(cut.differs.device)].T.nonzero()
    for some in pairs.split(cut.rows):
        which, rows = some[:, 0], some[:, 1]
        after = cut.run_units(rows, indices.to(some.device)[which])
        damages[which.cpu(), rows.cpu()] = difference(cut.logits[rows], after, measure, target, _of(labels, rows)).cpu()
    return damages, len(pairs)


def difference(
    before: Logits, after: Logits, measure: str, target: int | None, labels: Labels
) -> Float64[Tensor, " row"]:
    """Damage between two outputs."""
    before, after = before.double(), after.double()
    if measure == "logits":
        return torch.linalg.vector_norm(before - after, dim=1) if target is None else (before - after)[:, target]
    assert labels is not None
    if measure == "loss":
        losses = [functional.cross_entropy(logits, labels, reduction="none") for logits in (before, after)]
        return losses[1] - losses[0]
    return (before.argmax(dim=1) == labels).double() - (after.argmax(dim=1) == labels).double()


def labels_of(batch: Batch, classes: int, measure: str) -> Labels:
    """True classes of a batch if the measure needs them."""
    if measure == "logits":
        return None
    if batch.labels is None:
        raise DataError(
            f"damage in {measure} needs the true classes; the loader gives inputs alone; give (inputs, labels), or "
            "take measure='logits'"
        )
    return true_labels(batch.labels, batch.count, classes)


def _of(labels: Labels, rows: Rows) -> Labels:
    return None if labels is None else labels.to(rows.device)[rows]


def _tasks(study: Study, loader: Loader) -> Iterator[Task]:
    """Tasks by batch, layer and block of units."""
    sizes: dict[str, int] = {}
    for batch in passes(loader, study.settings, "ablation"):
        if not sizes:
            with torch.no_grad(), Tape(study.model, study.layers, each=study.settings.each_position) as tape:
                study.settings.classes(tape.run(batch).shape[1])
                sizes = {layer: tape[layer].shape[1] for layer in study.layers}
        for layer, size in sizes.items():
            for first in range(0, size, SHARE):
                yield Task(batch, layer, range(first, min(first + SHARE, size)))
