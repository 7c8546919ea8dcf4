"""Shapley values (Shapley 1953) of units, sampled by permutations.

    phi_u = E over orders of [ v(units before u, and u) - v(units before u) ],    all other units at their neutral state

The values of a layer add up to v(all) - v(none) exactly, for any orders. Orders come in pairs, one the reverse of the
other (antithetic; Mitchell et al. 2022), and each example has its own orders.

    logit      v is the logit of the target, or of the class predicted by the untouched network
    logits, loss, accuracy    v is minus the damage of ablation with that measure
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from ndg import seeds
from ndg.activations.batches import Batch, fixed
from ndg.errors import ConfigError
from ndg.importance.batch_sums import ScoreStudy, Sums, Task, read_neutrals
from ndg.importance.logits import chosen, classes_of
from ndg.importance.method import Method
from ndg.importance.methods.ablation import MEASURES, difference, labels_of
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings, passes
from ndg.interventions.baselines import Neutrals
from ndg.interventions.partial_forward import PartialForward
from ndg.run_study import run_study

PAYOFFS = ("logit", *MEASURES)

SHARE = 8
"""Pairs of orders per task, at least 2, so that a task can estimate their spread."""

Values = Float64[Tensor, " row"]
Order = Int64[Tensor, "example unit"]


def shapley(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Mean Shapley value of each unit; values add up to `whole`.

    `whole` is the mean of v(all) - v(none). Options: `permutations` is the number of orders per example, even and at
    least 4; `payoff` is v. An order costs one pass of the part after the layer for each unit that is not at its neutral
    state. `errors` are standard errors of the sampling of orders for these examples. Raises ConfigError for an unknown
    payoff or an odd number of orders, DataError without the classes that it needs.
    """
    orders, payoff = settings.own["permutations"], settings.own["payoff"]
    if payoff not in PAYOFFS:
        raise ConfigError(f"the payoff of Shapley values is {', '.join(PAYOFFS)}; got {payoff!r}")
    if not isinstance(orders, int) or orders < 4 or orders % 2:
        raise ConfigError(
            f"orders come in pairs, and two pairs tell how far they differ: permutations is even and at least 4; got "
            f"{orders!r}"
        )
    neutrals = read_neutrals(model, loader, layers, settings)
    study = Study(model, layers, settings, neutrals, payoff)
    total = run_study(study, _tasks(study, loader), "Shapley values", settings.options).total
    sums, drawn, run = total.sums, total.examples * (orders // 2), settings.options
    return METHOD.scores(
        settings,
        {layer: sums["credits"][layer] / drawn for layer in layers},
        total.examples,
        whole=total.means("whole"),
        target=settings.describe(_TARGETS[payoff]),
        baseline=neutrals.name,
        measure="logits" if payoff == "logit" else payoff,
        errors={layer: np.sqrt((sums["spread"][layer] / sums["freedom"][layer] / drawn).numpy()) for layer in layers},
        facts={"batch": run.batch, "permutations": orders, "seed": run.seed, "passed": total.counts["passed"]},
    )


METHOD = Method(
    shapley,
    title="sampled Shapley values",
    source="Shapley 1953; Castro, Gomez & Tejada 2009",
    target="predicted class",
    options={"permutations": 64, "payoff": "logit"},
    baselines=("zero", "mean", "resample"),
    harm=True,
    laws=frozenset({"baseline", "unread", "neutral"}),
)

_TARGETS = {"logit": "predicted class", "logits": "all logits", "loss": "true class", "accuracy": "true class"}


@dataclass(frozen=True, eq=False)
class Study(ScoreStudy):
    """The values of coalitions, for a worker."""

    neutrals: Neutrals
    payoff: str

    decode = staticmethod(Sums.from_dict)
    check = range(0)

    def run(self, task: Task) -> Sums:
        """Credits of the orders of one task, and their spread."""
        settings, layer, batch, model = self.settings, task.layer, task.batch, self.model
        with (
            torch.inference_mode(False),
            fixed(model, settings.options.threads),
            PartialForward(model, layer, batch, self.neutrals, each=settings.each_position) as cut,
        ):
            game = _Game(cut, batch, self)
            credits = torch.zeros(len(task.part), *cut.differs.shape, dtype=torch.float64)
            for number, pair in enumerate(task.part):
                credits[number] = game.credits(_order(batch, layer, settings, pair, cut))
        first = task.part.start == 0
        nothing = torch.zeros((), dtype=torch.float64)
        sums = {
            "credits": credits.sum(dim=(0, 1)),
            "spread": (credits - credits.mean(dim=0)).square().sum(dim=(0, 1)),
            "freedom": nothing + (len(task.part) - 1) * batch.count,
            "whole": (game.all - game.none).sum() if first else nothing,
        }
        examples = batch.count if first and layer == self.layers[0] else 0
        return Sums({name: {layer: part} for name, part in sums.items()}, {"examples": examples, "passed": game.passed})


def _tasks(study: Study, loader: Loader) -> Iterator[Task]:
    """Tasks by batch, layer and block of pairs.

    None has a single pair.
    """
    pairs = study.settings.own["permutations"] // 2
    parts = max(1, pairs // SHARE)
    ends = [pairs * part // parts for part in range(parts + 1)]
    for batch in passes(loader, study.settings, "Shapley values"):
        for layer in study.layers:
            for first, last in pairwise(ends):
                yield Task(batch, layer, range(first, last))


class _Game:
    """Payoff of coalitions of a layer's units on one batch.

    Units that are neutral already join last, with credit 0. `all` and `none` are the payoffs of the end coalitions.
    """

    def __init__(self, cut: PartialForward, batch: Batch, study: Study) -> None:
        self.cut, self.study, self.passed, logits = cut, study, 0, cut.logits
        study.settings.classes(logits.shape[1])
        self.labels = self.classes = None
        if study.payoff == "logit":
            self.classes = classes_of(logits, study.settings)
        else:
            labels = labels_of(batch, logits.shape[1], study.payoff)
            self.labels = None if labels is None else labels.to(logits.device)
        self.players = cut.differs.sum(dim=1)
        rows = torch.arange(batch.count, device=logits.device)
        self.all = self._payoff(logits, rows)
        self.none = torch.where(self.players.cpu() == 0, self.all, self._value(rows, torch.ones_like(cut.differs)))

    def credits(self, order: Order) -> Float64[Tensor, "example unit"]:
        """Credit of each unit, the mean over an order and its reverse."""
        apart = self.cut.differs
        first = (order + apart.shape[1] * ~apart).argsort(dim=1).argsort(dim=1)  # positions, with neutral units last
        last = torch.where(apart, self.players[:, None] - 1 - first, first)
        return (self._along(first) + self._along(last)) / 2

    def _along(self, places: Order) -> Float64[Tensor, "example unit"]:
        """Credit of each unit when units join in order of position."""
        units = places.shape[1]
        steps = torch.arange(1, units, device=places.device)
        inner = (steps[None, :] < self.players[:, None]).nonzero()
        values = self.all[:, None].repeat(1, units + 1)
        values[:, 0] = self.none
        for some in inner.split(self.cut.rows):
            rows, joined = some[:, 0], some[:, 1] + 1
            values[rows.cpu(), joined.cpu()] = self._value(rows, places[rows] >= joined[:, None])
        self.passed += len(inner)
        return values.diff(dim=1).gather(1, places.cpu())

    def _value(self, rows: Int64[Tensor, " row"], neutral: Tensor) -> Values:
        return self._payoff(self.cut.run(rows, neutral), rows)

    def _payoff(self, logits: Tensor, rows: Int64[Tensor, " row"]) -> Values:
        """v for rows with these logits."""
        if self.classes is not None:
            return chosen(logits, self.classes[rows]).double().cpu()
        settings, payoff = self.study.settings, self.study.payoff
        target = None if settings.target is None else int(settings.target)
        labels = None if self.labels is None else self.labels[rows]
        return -difference(self.cut.logits[rows], logits, payoff, target, labels).cpu()


def _order(batch: Batch, layer: str, settings: Settings, pair: int, cut: PartialForward) -> Order:
    """Position of each unit in a random order per example."""
    count, units = cut.differs.shape
    numbers = np.array([batch.number(row) for row in range(count)])
    words = seeds.words(settings.options.seed, "shapley", layer, pair, examples=numbers, draws=units)
    return torch.from_numpy(words.argsort(axis=1, kind="stable").argsort(axis=1)).to(cut.differs.device)
