"""Cheap estimates of exact ablation against each other: rank correlation within layers at the same cost.

    python -m benchmarks.cheap [--json FILE] [--quick] [--networks FOLDER]

What a network's units do to some examples is measured once, exactly: damage, first-order effects, activations. Then any
number of draws of any estimate costs no pass. `analysis.fast_ablation` prints more figures. `--quick` measures
two untrained networks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from scipy.stats import rankdata, t
from torch import Tensor, nn

from benchmarks.frame import Figures, parser, run
from ndg import data, runs
from ndg.activations.batches import columns, compute_batches, fixed
from ndg.activations.sampling import subset
from ndg.config import MLP
from ndg.gradients.tape import Tape, per_unit
from ndg.importance.methods.ablation import damage
from ndg.importance.methods.fast.carried import Carried
from ndg.importance.methods.fast.directions import Directions, alike
from ndg.importance.methods.fast.estimate import Evidence, estimate
from ndg.importance.methods.fast.plan import Plan, plan
from ndg.interventions.baselines import Neutrals
from ndg.interventions.partial_forward import PartialForward
from ndg.locations import Locations
from ndg.models import build
from ndg.training import load_model

DRAWS = 20
CONFIGS = ("mnist_cnn", "cifar10_resnet18")
EXAMPLES, BATCH = 400, 100
SHARES = (1 / 400, 1 / 200, 1 / 100, 1 / 50, 1 / 20, 1 / 10)


@dataclass(frozen=True, eq=False)
class Measured:
    """Of all units on all examples: exact damage; the effects on each logit, of first order and carried; sizes of the
    activation and of the carried change; which class each example is predicted to be. `layers` are rows of units."""

    damage: np.ndarray
    plain: np.ndarray
    carried: np.ndarray
    activation: np.ndarray
    change: np.ndarray
    classes: np.ndarray
    layers: list[slice]

    @cached_property
    def truth(self) -> np.ndarray:
        return self.damage.mean(axis=1)

    @property
    def shape(self) -> tuple[int, int]:
        units, examples = self.damage.shape
        return units, examples

    @cached_property
    def ranks(self) -> list[np.ndarray]:
        """Of the truth within each layer."""
        return [rankdata(self.truth[rows]) for rows in self.layers]

    def within(self, found: np.ndarray) -> float:
        """Spearman's correlation with the truth within each layer, the mean weighted by the layers' units."""
        total, weight = 0.0, 0
        for rows, second in zip(self.layers, self.ranks, strict=True):
            first = rankdata(found[rows])
            if first.std() and second.std():
                total += float(np.corrcoef(first, second)[0, 1]) * len(first)
            weight += len(first)
        return total / weight

    def pooled(self, found: np.ndarray) -> float:
        return float(np.corrcoef(rankdata(found), rankdata(self.truth))[0, 1])


Found = TypeVar("Found", bound=Measured)

Estimate = Callable[[Measured, float, np.random.Generator], np.ndarray]
"""An estimate of the truth at a share of the exact cost."""


def measure(model: nn.Module, inputs: Tensor, layers: Sequence[str], batch: int = 100) -> Measured:
    """Everything, exactly: as many passes as units times examples."""
    neutrals, parts, classes = Neutrals("zero"), [], []
    done: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    with fixed(model, 1, grad=True), Tape(model, layers) as tape, Carried(model, tape, layers, neutrals) as carried:
        for one in compute_batches([inputs], batch):
            logits, keep = carried.run(one), slice(0, one.count)
            classes.append(logits.detach()[keep].argmax(dim=1).cpu().numpy())
            found: dict[str, list[np.ndarray]] = {"plain": [], "carried": []}
            for value in logits.unbind(dim=1):
                above = carried.gradients(value, last=False)
                found["carried"].append(
                    joined(per_unit(above[layer] * carried.changes[layer])[keep] for layer in layers)
                )
                below = tape.gradients(value, last=False)
                found["plain"].append(joined(per_unit(below[layer] * tape[layer])[keep] for layer in layers))
            stacked = {name: np.stack(values, axis=2) for name, values in found.items()}
            stacked["activation"] = joined(per_unit(tape[layer].square())[keep].sqrt() for layer in layers)
            stacked["change"] = joined(per_unit(carried.changes[layer].square())[keep].sqrt() for layer in layers)
            parts.append(stacked)
    with fixed(model, 1):
        for one in compute_batches([inputs], batch):
            for layer in layers:
                with PartialForward(model, layer, one, neutrals) as cut:
                    done[layer].append(damage(cut, range(cut.differs.shape[1]), "logits", None, None)[0].numpy())
    whole = {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
    damages = [np.concatenate(done[layer], axis=1) for layer in layers]
    ends = np.cumsum([0, *map(len, damages)])
    rows = [slice(int(start), int(stop)) for start, stop in pairwise(ends)]
    return Measured(np.concatenate(damages), classes=np.concatenate(classes), layers=rows, **whole)


def joined(views: Iterable[Tensor]) -> np.ndarray:
    """Views of layers as rows of units."""
    return torch.cat([view.detach().cpu() for view in views], dim=1).T.numpy()


def subsampled(found: Measured, share: float, draw: np.random.Generator) -> np.ndarray:
    """Exact ablation of all units on random examples."""
    examples = found.shape[1]
    chosen = draw.choice(examples, max(1, round(share * examples)), replace=False)
    return found.damage[:, chosen].mean(axis=1)


def fast(found: Measured, share: float, draw: np.random.Generator) -> np.ndarray:
    """What `score(..., method="fast_ablation", budget=share)` gives."""
    return fast_with_errors(found, share, draw)[0]


def fast_with_errors(found: Measured, share: float, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The same with its standard errors."""
    units, logits = [rows.stop - rows.start for rows in found.layers], found.carried.shape[2]
    return corrected(found, plan(units, found.shape[1], logits, share), draw, found.carried)


Choice = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""So many of what has these values."""


def corrected(
    found: Measured, planned: Plan, draw: np.random.Generator, effects: np.ndarray,
    examples: Choice | None = None, units: Choice | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """First-order effects on each logit, corrected by ablation of chosen units on chosen examples, and standard errors.

    Examples are chosen by their sizes of effects `[example, unit]`, units of a layer by their mean ones, else drawn."""
    many = found.shape[1]
    seen = np.sort(draw.permutation(many)[: planned.examples])
    size, by = projected(effects[:, seen], planned.directions, draw, found.classes[seen])
    few = planned.ablated
    ablated = np.sort(draw.permutation(many)[:few] if examples is None else seen[examples(size.T, few, draw)])
    exact, kept = projected(effects[:, ablated], planned.on_ablated, draw, found.classes[ablated])
    mean, squares, change = size.mean(axis=1), (size**2).mean(axis=1), found.change[:, seen].mean(axis=1)
    variance = np.zeros_like(squares)
    if by is not None:
        for rows in found.layers:
            near = alike(effects[rows][:, ablated]) if kept is None else 0.0
            variance[rows] = by.spread * by.shared(len(seen), near) * squares[rows] / len(seen)
    if len(seen) < many:
        variance += np.maximum(squares - mean**2, 0) / (len(seen) - 1) * (1 - len(seen) / many)
    evidence = []
    for rows in found.layers:
        count = rows.stop - rows.start
        chosen = np.zeros(count, dtype=bool)
        some = planned.units(count)
        chosen[draw.permutation(count)[:some] if units is None else units(mean[rows], some, draw)] = True
        damages, first = (values[rows][chosen] for values in (found.damage[:, ablated], exact))
        drawn = len(ablated) / many
        evidence.append(Evidence(mean[rows], mean[rows], variance[rows], change[rows], chosen, damages, first, drawn))
    values, errors = zip(*estimate(evidence), strict=True)
    return np.maximum(np.concatenate(values), 0), np.concatenate(errors)


def projected(
    effects: np.ndarray, directions: int, draw: np.random.Generator, classes: np.ndarray
) -> tuple[np.ndarray, Directions | None]:
    """Sizes of effects by random directions of the logits, and these; exact where they are as many as logits."""
    logits = effects.shape[2]
    if directions >= logits:
        return np.sqrt((effects**2).sum(axis=2)), None
    by = Directions(int(draw.integers(2**31)), logits, directions)
    parts = np.einsum("uel,ekl->uek", effects, by.of(classes))
    return np.linalg.norm(parts, axis=2) / by.scale, by


def draws(
    found: Found, way: Callable[[Found, float, np.random.Generator], np.ndarray], share: float,
    many: int = DRAWS, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """The correlation within layers of each draw."""
    return np.array([found.within(way(found, share, np.random.default_rng([seed, one]))) for one in range(many)])


def low(differences: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of differences `[training, draw]`: between trainings, by Student's t, or of the
    draws where there is one training."""
    of = differences.mean(axis=1) if len(differences) > 1 else differences[0]
    reach = float(t.ppf(0.975, len(of) - 1)) * of.std(ddof=1) / len(of) ** 0.5
    return float(of.mean() - reach), float(of.mean() + reach)


def figures(folder: Path | None = None, many: int = DRAWS) -> Figures:
    """The figures of the newest training of each seed of `CONFIGS` among the runs of a folder (else where runs are)."""
    where = Locations.choose(runs=None if folder is None else str(folder))
    networks: dict[str, list[Measured]] = {}
    with runs.open(where.store, local=where.runs) as log:
        for config in CONFIGS:
            found = log.find({"kind": "train", "status": "COMPLETED", "name": config}, metrics=False)
            newest = {record["config"]["seed"]: record for record in reversed(found)}
            for _, record in sorted(newest.items()):
                model, experiment = load_model(record.locate(where.runs))
                test = data.load(where.place(experiment).data).test
                loader = subset(test.loader(BATCH), EXAMPLES, 0)
                inputs = torch.cat([columns(batch)[""] for batch in loader])
                layers = [name for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))][
                    :-1
                ]
                networks.setdefault(config, []).append(measure(model, inputs, layers))
    if not networks:
        print(f"no trained networks of {CONFIGS} in {where.runs}: train_models.py makes them", file=sys.stderr)
    return compared(networks, many)


def untrained(many: int = 3) -> Figures:
    """The figures of two small networks with random weights."""
    networks = []
    for seed in range(2):
        model = build(MLP(widths=[24], latent=8), (1, 8, 8), 10, seed)
        layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][:-1]
        networks.append(measure(model, torch.rand(64, 1, 8, 8), layers, batch=32))
    return compared({"mlp": networks}, many)


def compared(networks: Mapping[str, Sequence[Measured]], many: int = DRAWS) -> Figures:
    """The figures of the trainings of each network, by its name."""
    shown: Figures = {}
    lowest = np.inf
    for name, trainings in networks.items():
        what = f"{name}, {len(trainings)} trainings"
        for kind in ("pooled", "within"):
            plain = [getattr(one, kind)(np.linalg.norm(one.plain, axis=2).mean(axis=1)) for one in trainings]
            shown[f"{name}_gndi_spearman_{kind}"] = (float(np.mean(plain)), f"{_spread(np.array([plain]).T)}, {what}")
        for share, tail in ((1 / 50, ""), (1 / 100, "_100"), (1 / 200, "_200")):
            poor, best = (np.stack([draws(one, way, share, many) for one in trainings]) for way in (subsampled, fast))
            least, most = low(best - poor)
            if tail != "_200":
                lowest = min(lowest, least)
            for key, values in (("subsampled", poor), ("best_cheap", best)):
                told = f"{_spread(values)} over {many} draws, {what}"
                shown[f"{name}_{key}_spearman_within{tail}"] = (float(values.mean()), told)
            shown[f"{name}_best_minus_subsampled{tail}"] = (
                float((best - poor).mean()), f"[{least:.3f}, {most:.3f}], {what}"
            )  # fmt: skip
    if networks:
        shown["best_minus_subsampled_low"] = (lowest, "the lowest end of the intervals at 1/50 and 1/100")
    return shown


def _spread(values: np.ndarray) -> str:
    """The 95 % interval of the mean of values `[training, draw]`, where there are several, and their deviation."""
    interval = "[{:.3f}, {:.3f}], ".format(*low(values)) if values.size > 1 else ""
    return f"{interval}sd {values.std():.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__)
    options.add_argument("--networks", type=Path, metavar="FOLDER", help="where trained networks are kept")
    chosen = options.parse_args(arguments)
    return run({"cheap": untrained if chosen.quick else partial(figures, chosen.networks)}, chosen)


if __name__ == "__main__":
    raise SystemExit(main())
