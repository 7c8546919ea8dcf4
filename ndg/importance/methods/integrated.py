"""Integrated G-NDI (after Nagy 2025): G-NDI along a path.

    I_u = E_x || integral over a from 0 to 1 of J(h + a (b - h) at u alone) (h - b restricted to u) da ||_2

In the limit of fine steps this is exact ablation; `facts["completeness"]` compares the two.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from ndg.gradients.autograd import gradients_of
from ndg.gradients.tape import add, check_gradients, no_gradient
from ndg.importance.batch_sums import read_neutrals
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings, passes
from ndg.interventions.partial_forward import Chosen, PartialForward, Rows
from ndg.units.readings import Output

STEPS = 32

Effects = Float64[Tensor, "row logit"]


def integrated(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Scores of 0 or more: 2-norm change of the logits.

    The norm is over all logits, or over `settings.target`. b is zero, the mean of each activation over the examples,
    `resample`, or a given value. There are `settings.n_steps` midpoints (default 32), each with one backward pass per
    logit for every unit and example. `facts["completeness"]` has for each layer the `mean` and largest 2-norm of the
    difference between the integral and the ablation of a unit, and `relative`: their sum over the sum of the damages.
    """
    steps = settings.n_steps or STEPS
    sums: dict[str, Tensor] = {}
    whole: dict[str, float] = dict.fromkeys(layers, 0.0)
    deltas = {layer: Delta() for layer in layers}
    work: Counter[str] = Counter()
    examples = 0
    neutrals = read_neutrals(model, loader, layers, settings)
    for batch in passes(loader, settings, "integrated G-NDI"):
        examples += batch.count
        for layer in layers:
            way = PartWay(model, layer, batch, neutrals, each=settings.each_position)
            with way:
                units, delta = _units(way, steps, settings, work)
                add(sums, layer, units)
                deltas[layer] += delta
                everything = torch.ones_like(way.differs)
                rows = torch.arange(batch.count, device=everything.device)
                effects = _integral(way, rows, everything, steps, settings, work)
                whole[layer] += float(torch.linalg.vector_norm(effects, dim=1).sum())
    return METHOD.scores(
        settings,
        {layer: sums[layer] / examples for layer in layers},
        examples,
        whole={layer: whole[layer] / examples for layer in layers},
        baseline=neutrals.name,
        facts={
            "steps": steps,
            "batch": settings.options.batch,
            "forward_passes": work["forwards"],
            "backward_passes": work["backwards"],
            "completeness": [{"layer": layer, **delta.facts()} for layer, delta in deltas.items()],
        },
    )


METHOD = Method(
    integrated,
    title="integrated G-NDI",
    source="Nagy 2025; Sundararajan, Taly & Yan 2017",
    target="all logits",
    baselines=("zero", "mean", "resample"),
    steps=True,
    laws=frozenset({"additive", "baseline", "unread", "neutral"}),
)


class PartWay(PartialForward):
    """Chosen units are part of the way to their neutral state."""

    amount: Float[Tensor, " row"]

    def part(self, rows: Rows, chosen: Chosen, amount: Float[Tensor, " row"]) -> Float[Tensor, "row logit"]:
        """Logits of these rows, in the autograd graph of `amount`."""
        self.amount = amount
        return self.run(rows, chosen)

    def _values(self, rows: Rows) -> Output:
        here, there = self._output.index_select(0, rows), super()._values(rows)
        amount = torch.cat([self.amount, self.amount[-1:].expand(len(rows) - len(self.amount))]).to(here.dtype)
        return torch.lerp(here, there.expand_as(here), amount.reshape(-1, *[1] * (here.ndim - 1)))


@dataclass(frozen=True)
class Delta:
    """Sums over pairs: difference to ablation, its maximum, damage."""

    apart: float = 0.0
    largest: float = 0.0
    damage: float = 0.0
    pairs: int = 0

    def __add__(self, other: Delta) -> Delta:
        largest = max(self.largest, other.largest)
        return Delta(self.apart + other.apart, largest, self.damage + other.damage, self.pairs + other.pairs)

    def facts(self) -> dict[str, float]:
        """Plain JSON types."""
        return {
            "mean": self.apart / max(self.pairs, 1),
            "max": self.largest,
            "relative": self.apart / self.damage if self.damage else 0.0,
        }


def _units(way: PartWay, steps: int, settings: Settings, work: Counter[str]) -> tuple[Float64[Tensor, " unit"], Delta]:
    """Summed scores of a batch, and differences to ablation."""
    width = way.differs.shape[1]
    sums, delta = torch.zeros(width, dtype=torch.float64), Delta()
    for some in way.differs.T.nonzero().split(way.rows):
        if not len(some):  # all units are at their neutral state
            break
        units, rows = some[:, 0], some[:, 1]
        chosen = units[:, None] == torch.arange(width, device=units.device)
        effects = _integral(way, rows, chosen, steps, settings, work)
        with torch.no_grad():
            after = way.part(rows, chosen, torch.ones(len(rows), device=rows.device))
        classes = settings.classes(after.shape[1])
        lost = (way.logits[rows].double() - after.double())[:, classes.start : classes.stop]
        apart = torch.linalg.vector_norm(effects - lost, dim=1)
        damage = float(torch.linalg.vector_norm(lost, dim=1).sum())
        delta += Delta(float(apart.sum()), float(apart.max()), damage, len(rows))
        sums.index_add_(0, units.cpu(), torch.linalg.vector_norm(effects, dim=1).cpu())
        work["forwards"] += 1
    return sums, delta


def _integral(way: PartWay, rows: Rows, chosen: Chosen, steps: int, settings: Settings, work: Counter[str]) -> Effects:
    """Change of the logits of each row along the path."""
    total: Tensor | None = None
    for step in range(steps):
        amount = torch.full((len(rows),), (step + 0.5) / steps, device=rows.device, requires_grad=True)
        with torch.enable_grad():
            logits = way.part(rows, chosen, amount)
            classes = settings.classes(logits.shape[1])
            slopes = [_slope(way, logits[:, target], amount, last=target == classes[-1]) for target in classes]
        slope = torch.stack(slopes, dim=1).double()
        total = slope if total is None else total + slope
        work.update(forwards=1, backwards=len(classes))
    assert total is not None
    return -total / steps


def _slope(
    way: PartWay, values: Float[Tensor, " row"], amount: Float[Tensor, " row"], *, last: bool
) -> Float[Tensor, " row"]:
    slope = gradients_of(values.sum(), amount, retain_graph=not last, allow_unused=True)[0]
    if slope is None:
        raise no_gradient(way.layer)
    check_gradients([slope], way.layer)
    return slope
