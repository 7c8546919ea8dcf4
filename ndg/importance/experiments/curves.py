"""Group ablation: accuracy, loss and logits of growing neutral groups."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import nn
from torch.nn import functional

from ndg.activations.batches import Batch, check_finite, fixed, forward
from ndg.activations.labels import true_labels
from ndg.importance.batch_sums import ScoreStudy, read_neutrals
from ndg.importance.experiments.groups import ORDERS, SHARES, Group, GroupRows, common_sizes, groups, rate_over_draws
from ndg.importance.logits import check_read
from ndg.importance.scores import Scores
from ndg.importance.settings import Baselines, Settings, passes
from ndg.intervals import Z95, rate
from ndg.interventions.baselines import Neutrals, clamped, neutral_states
from ndg.options import RunOptions, old_keywords, plain_numbers
from ndg.plots import Plot, Series, by
from ndg.probe import probe_loader
from ndg.results import mean
from ndg.run_study import run_study


@dataclass(frozen=True)
class CurveSettings:
    """Which groups of units are neutralised.

    shares     shares of the units, in rising order
    orders     which units go first: "top", "bottom"
    scope      "layer", one layer at a time; "each", the share of every layer at once; "all", all layers ranked together
    draws      random groups of every size, the control
    baselines  the neutral state
    """

    shares: Sequence[float | int] = SHARES
    orders: Sequence[str] = ORDERS
    scope: str = "all"
    draws: int = 10
    baselines: Baselines = "zero"

    def __post_init__(self) -> None:
        plain_numbers(self)


@old_keywords(settings=CurveSettings, options=RunOptions, renamed={"internal_batch_size": "batch"})
def ablation_curves(
    model: nn.Module,
    loader: Iterable[Any],
    scores: Mapping[str, Scores],
    *,
    settings: CurveSettings = CurveSettings(),
    options: RunOptions = RunOptions(),
) -> Curves:
    """Accuracy, loss and logits after neutralising growing groups of units.

    `scores` are by name, on the same layers. The loader has held-out examples; without true classes only logits are
    compared. Raises ConfigError for invalid shares, orders, scope or draws, ShapeError for scores of different units,
    LayerError for a layer that the network does not read.
    """
    layers = tuple(common_sizes(scores))
    tried = tuple(groups(scores, settings.shares, settings.orders, settings.scope, settings.draws, options.seed))
    request = Settings(baselines=settings.baselines, options=options, own={"groups": digest(tried)})
    loader = probe_loader(model, loader, layers, options.threads, options.batch)
    with torch.inference_mode(False), fixed(model, options.threads):
        check_read(model, loader, layers, options.batch)
        neutrals = read_neutrals(model, loader, layers, request)
        study = Study(model, layers, request, neutrals, tried)
        tally = run_study(study, passes(loader, request, "group ablation"), "group ablation", options).total
    return Curves(tried, tally, neutrals.name, settings.scope)


@dataclass(frozen=True, eq=False)
class Tally:
    """Sums over examples for the untouched network and each group.

    They are correct predictions, loss (nats), L2 distance of the logits from the untouched ones, and its square.
    """

    examples: int
    labelled: int
    correct: Int64[np.ndarray, " point"]
    loss: Float64[np.ndarray, " point"]
    shift: Float64[np.ndarray, " point"]
    squares: Float64[np.ndarray, " point"]

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(mine + more for mine, more in zip(vars(self).values(), vars(other).values(), strict=True)))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; inverse of `from_dict`."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Tally:
        fields: dict[str, Any] = {name: np.array(x) if isinstance(x, list) else x for name, x in document.items()}
        return cls(**fields)


@dataclass(frozen=True, eq=False)
class Study(ScoreStudy):
    """Groups that are neutralised, for a worker."""

    neutrals: Neutrals
    groups: tuple[Group, ...]

    decode = staticmethod(Tally.from_dict)

    def run(self, batch: Batch) -> Tally:
        """Tally of one compute batch."""
        model, count = self.model, batch.count
        with torch.inference_mode(False), fixed(model, self.settings.options.threads):
            logits, states = neutral_states(model, self.layers, batch, self.neutrals)
            logits = logits[:count]
            check_finite(logits, "logits", batch)
            labels = None
            if batch.labels is not None:
                labels = true_labels(batch.labels, count, logits.shape[1]).to(logits.device)
            after = [logits]
            for group in self.groups:
                with clamped(model, group.chosen, states):
                    after.append(forward(model, batch.inputs)[:count])
        outputs = torch.stack(after).double()
        correct, loss = np.zeros(len(after), np.int64), np.zeros(len(after))
        if labels is not None:
            correct = (outputs.argmax(dim=2) == labels).sum(dim=1).cpu().numpy()
            loss = np.array([functional.cross_entropy(output, labels, reduction="sum").item() for output in outputs])
        shifts = torch.linalg.vector_norm(outputs - outputs[0], dim=2).cpu()
        sums = shifts.sum(dim=1).numpy(), shifts.square().sum(dim=1).numpy()
        return Tally(count, 0 if labels is None else count, correct, loss, *sums)


@dataclass(frozen=True, eq=False)
class Curves(GroupRows):
    """Tally of every group, with the groups."""

    groups: tuple[Group, ...]
    tally: Tally
    baseline: str
    scope: str

    def rows(self) -> list[dict[str, Any]]:
        """One row per score, layer, order and share, the untouched network first.

        `accuracy` (Wilson interval), `loss` in nats, `shift` in logits (normal interval), with the mean of random
        groups of the same size over `draws`. Null if unknown.
        """
        return self.rows_of("method", "layer", "order", "share", "units", "of")

    def plotted(self) -> Plot:
        """Shift of the logits against the share of units that are neutral, by score and order."""
        _, *rows = self.rows()
        for row in rows:
            row["of"] = " · ".join(str(row[name]) for name in ("method", "order", "layer") if row[name] is not None)
        series = tuple(Series.of(name, points, "share", "shift") for name, points in by(rows, "of").items())
        return Plot(f"Group ablation, n = {self.tally.examples:,}", "share of the units", "shift (logits)", series)

    def words(self) -> str:
        """Shift of the logits at the largest share, beside random units."""
        largest, points = self.largest()
        findings = [
            f"{row['method']}, {row['order']} first{'' if row['layer'] is None else ' in ' + row['layer']}: "
            f"{row['shift']:.3g} [{row['shift_low']:.3g}, {row['shift_high']:.3g}]"
            + ("" if row.get("random_shift") is None else f", random units {row['random_shift']:.3g}")
            for row in points
        ]
        return (
            f"Shift of the logits over {self.tally.examples} examples when {largest:.0%} of the units are neutral: "
            f"{'; '.join(findings) or 'no group'}."
        )

    def context(self) -> dict[str, Any]:
        return {"scope": self.scope, "baseline": self.baseline, "examples": self.tally.examples}

    def figures(self, point: int) -> dict[str, Any]:
        tally, n = self.tally, self.tally.labelled
        shift = float(tally.shift[point]) / tally.examples
        spread = max(float(tally.squares[point]) / tally.examples - shift**2, 0.0)
        half = Z95 * math.sqrt(spread / max(tally.examples - 1, 1))
        return {
            "n": tally.examples,
            **rate("accuracy", int(tally.correct[point]), n),
            "loss": float(tally.loss[point]) / n if n else None,
            "shift": shift,
            "shift_low": max(shift - half, 0.0),
            "shift_high": shift + half,
        }

    def control(self, point: int, random: list[int]) -> dict[str, Any]:
        if not random:
            return {"draws": 0}
        figures = [self.figures(number) for number in random]
        known = {
            name: [figure[name] for figure in figures if figure[name] is not None]
            for name in ("accuracy", "loss", "shift")
        }
        columns = {"draws": len(figures), **rate_over_draws("random_accuracy", known["accuracy"], "random")}
        return columns | {f"random_{name}": mean(np.array(known[name])) for name in ("loss", "shift")}


def digest(tried: Sequence[Group]) -> str:
    """Digest of the units of each group."""
    state = hashlib.sha256()
    for group in tried:
        state.update(repr((group.method, group.order, *group.place, group.draw)).encode())
        for layer, units in group.chosen.items():
            state.update(layer.encode() + np.packbits(units).tobytes())
    return state.hexdigest()[:16]
