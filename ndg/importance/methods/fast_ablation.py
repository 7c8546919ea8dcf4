"""Estimate of exact ablation at a fraction of its cost, with standard errors.

First-order effects of all units on all examples are propagated to where units first mix (`fast.carried`). Exact
ablation on few examples corrects them, weighted by its reliability (`fast.estimate`), within a budget (`fast.plan`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn

from ndg import seeds
from ndg.activations.batches import compute_batches, pick
from ndg.activations.sampling import Subset, draw, only
from ndg.gradients.neutral import check_rereadable
from ndg.gradients.tape import Tape, add, per_unit
from ndg.importance.batch_sums import ScoreStudy, read_neutrals
from ndg.importance.method import Method
from ndg.importance.methods.ablation import damage, difference
from ndg.importance.methods.fast.carried import Carried
from ndg.importance.methods.fast.directions import NEAR, Directions, alike
from ndg.importance.methods.fast.estimate import Evidence, estimate
from ndg.importance.methods.fast.plan import ROWS, Plan, plan
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings, passes
from ndg.interventions.baselines import Neutrals
from ndg.interventions.partial_forward import PartialForward

LABEL = "fast ablation"

SHAPE = 2
"""Number of examples passed to find the number of units."""

Effects = Float64[Tensor, "example unit"]
Vectors = Float64[Tensor, "example unit logit"]
Chosen = Bool[np.ndarray, " unit"]
Damages = Float64[np.ndarray, "ablated example"]


def fast_ablation(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Estimated mean damage of each unit in logits.

    `errors` are standard errors.

    Damage is that of exact ablation: the 2-norm of the change of the logits, or with a target the lost logit. Option
    `budget` is a share of the exact cost; `facts["cost"]` counts as `fast.plan`. `whole` is of the ablated examples.
    """
    check_rereadable(loader, LABEL, "several times")
    neutrals = read_neutrals(model, loader, layers, settings)
    with Tape(model, layers, each=settings.each_position) as tape:
        sizes, logits, examples = _shape(tape, loader, layers, settings)
    target = None if settings.target is None else settings.classes(logits)[0]
    planned = plan(
        list(sizes.values()), examples, 1 if target is not None else logits, settings.own["budget"],
        before=SHAPE + examples * neutrals.passes,
    )  # fmt: skip
    study = _Study(model, layers, settings, neutrals, target, planned)
    seen = draw(settings.options.seed, "effects of examples", examples, planned.examples)
    few = list(only(loader, draw(settings.options.seed, "ablated examples", examples, planned.ablated)))
    first = study.effects(Subset(loader, seen), planned.directions)
    exact = study.effects(few, planned.on_ablated, keep=True)
    units = {layer: _units(settings.options.seed, layer, size, planned) for layer, size in sizes.items()}
    damages, whole, passed = study.damages(few, units)
    evidence = [study.evidence(first, exact, layer, units[layer], damages[layer], examples) for layer in layers]
    estimates = dict(zip(layers, estimate(evidence), strict=True))
    cost = SHAPE + examples * neutrals.passes + first.cost + exact.cost + passed
    return METHOD.scores(
        settings,
        {layer: values if target is not None else np.maximum(values, 0) for layer, (values, _) in estimates.items()},
        examples,
        whole=whole,
        baseline=neutrals.name,
        errors={layer: errors for layer, (_, errors) in estimates.items()},
        facts={
            "batch": settings.options.batch,
            "cost": cost,
            "exact_cost": planned.exact,
            "directions": planned.directions,
            "effects_of_examples": planned.examples,
            "ablated_examples": planned.ablated,
            "ablated_units": int(sum(chosen.sum() for chosen in units.values())),
            "seed": settings.options.seed,
        },
    )


METHOD = Method(
    fast_ablation,
    title="fast ablation",
    source="here: first-order effects behind activation functions, with exact ablation on few examples",
    target="all logits",
    options={"budget": 0.02},
    baselines=("zero", "mean", "resample"),
    laws=frozenset({"baseline", "unread", "neutral"}),
)


@dataclass(eq=False)
class _Effects:
    """First-order effects of units, as sums and for kept examples."""

    directions: Directions | None
    sums: dict[str, dict[str, Tensor]] = field(default_factory=lambda: defaultdict(dict))
    rows: dict[str, list[Effects]] = field(default_factory=lambda: defaultdict(list))
    vectors: dict[str, list[Vectors]] = field(default_factory=lambda: defaultdict(list))
    cost: int = 0
    examples: int = 0

    def mean(self, name: str, layer: str) -> Float64[np.ndarray, " unit"]:
        mean: np.ndarray = (self.sums[name][layer] / self.examples).cpu().numpy()
        return mean


@dataclass(frozen=True, eq=False)
class _Study(ScoreStudy):
    """Effects and damages of units, with the plan of the budget."""

    neutrals: Neutrals
    target: int | None
    planned: Plan

    def effects(self, loader: Loader, directions: int, keep: bool = False) -> _Effects:
        """First-order effects of all units in random directions."""
        settings, all_logits = self.settings, directions == self.planned.logits
        seed = seeds.integer(settings.options.seed, "kept effects" if keep else "effects")
        random = None if all_logits else Directions(seed, self.planned.logits, directions)
        result = _Effects(random)
        with (
            Tape(self.model, self.layers, each=settings.each_position) as tape,
            Carried(self.model, tape, self.layers, self.neutrals, each=settings.each_position) as carried,
        ):
            for batch in passes(loader, settings, LABEL):
                logits = carried.run(batch)
                values = self._values(logits, batch.count, random)
                squares: dict[str, Tensor] = {}
                signed: dict[str, list[Tensor]] = defaultdict(list)
                for value in values:
                    gradients = carried.gradients(value, last=value is values[-1])
                    for layer, change in carried.changes.items():
                        effect = per_unit(gradients[layer] * change)[: batch.count]
                        signed[layer].append(effect)
                        add(squares, layer, effect.square())
                for layer, change in carried.changes.items():
                    size = squares[layer].sqrt()
                    if random is not None:
                        size = size / random.scale
                    effect = size if self.target is None else signed[layer][0]
                    changes = per_unit(change.square())[: batch.count].sqrt()
                    columns = {"effect": effect, "size": size, "square": size.square(), "change": changes}
                    for name, column in columns.items():
                        add(result.sums[name], layer, column.sum(dim=0))
                    if keep:
                        result.rows[layer].append(effect)
                        if random is None and result.examples < NEAR:
                            result.vectors[layer].append(torch.stack(signed[layer], dim=2))
                result.cost += batch.count * (2 + 2 * len(values))
                result.examples += batch.count
        return result

    def _values(
        self, logits: Float[Tensor, "example logit"], count: int, random: Directions | None
    ) -> list[Float[Tensor, " example"]]:
        """The logits, the target logit, or their values in random directions."""
        if self.target is not None:
            return [logits[:, self.target]]
        if random is None:
            return list(logits.unbind(dim=1))
        along = random.of(logits[:count].argmax(dim=1).cpu().numpy())
        filled = logits.new_zeros((len(logits), *along.shape[1:]))
        filled[:count] = torch.from_numpy(along).to(logits)
        return [(logits * direction).sum(dim=1) for direction in filled.unbind(dim=1)]

    def damages(self, loader: Loader, units: dict[str, Chosen]) -> tuple[dict[str, Damages], dict[str, float], int]:
        """Damage of chosen units and whole layers, and cost."""
        settings, rows = self.settings, min(max(ROWS, self.planned.ablated), self.settings.options.batch)
        damages: dict[str, list[np.ndarray]] = {layer: [] for layer in self.layers}
        whole = dict.fromkeys(self.layers, 0.0)
        examples = cost = 0
        for batch in compute_batches(loader, rows):
            examples += batch.count
            for layer in self.layers:
                part = PartialForward(self.model, layer, batch, self.neutrals, each=settings.each_position)
                with torch.no_grad(), part as cut:
                    some, passed = damage(cut, np.flatnonzero(units[layer]).tolist(), "logits", self.target, None)
                    damages[layer].append(some.numpy())
                    every = torch.arange(batch.count, device=cut.logits.device)
                    after = cut.run(every, torch.ones_like(cut.differs))
                    whole[layer] += float(difference(cut.logits, after, "logits", self.target, None).sum())
                cost += 2 * batch.count + passed
        return (
            {layer: np.concatenate(parts, axis=1) for layer, parts in damages.items()},
            {layer: value / examples for layer, value in whole.items()},
            cost,
        )

    def evidence(
        self, first: _Effects, exact: _Effects, layer: str, ablated: Chosen, damages: Damages, examples: int
    ) -> Evidence:
        """Measurements of a layer for the estimate."""
        count = first.examples
        mean, size, change, squares = (first.mean(name, layer) for name in ("effect", "size", "change", "square"))
        variance = np.zeros_like(squares)
        if first.directions is not None:
            of = exact.vectors.get(layer)
            near = 0.0 if of is None else alike(torch.cat(of).transpose(0, 1).cpu().numpy())
            variance = first.directions.spread * first.directions.shared(count, near) * squares / count
        if count < examples:
            variance = variance + np.maximum(squares - mean**2, 0) / (count - 1) * (1 - count / examples)
        effects = torch.cat(exact.rows[layer]).T.cpu().numpy()[ablated]
        return Evidence(mean, size, variance, change, ablated, damages, effects, exact.examples / examples)


def _shape(tape: Tape, loader: Loader, layers: Layers, settings: Settings) -> tuple[dict[str, int], int, int]:
    """Units of each layer, number of logits, number of examples."""
    sizes: dict[str, int] = {}
    logits = examples = 0
    for batch in passes(loader, settings, LABEL):
        if not sizes:
            with torch.no_grad():
                logits = tape.run(pick(batch.inputs, torch.arange(min(SHAPE, batch.rows)))).shape[1]
            sizes = {layer: tape[layer].shape[1] for layer in layers}
        examples += batch.count
    settings.classes(logits)
    return sizes, logits, examples


def _units(seed: int, layer: str, size: int, planned: Plan) -> Chosen:
    """Units of a layer to ablate."""
    ablated = np.zeros(size, dtype=bool)
    ablated[draw(seed, f"ablated units of {layer}", size, planned.units(size))] = True
    return ablated
