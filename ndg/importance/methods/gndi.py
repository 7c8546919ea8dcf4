"""General Neuro-Dynamic Importance (Nagy 2025): first-order effect of neutralising a unit.

    GNDI_u = E_x || J(x) ((h(x) - b) restricted to u) ||_p,    J the Jacobian of the logits at the layer's output h

Row c of J is one backward pass of logit c, which gives all units of all layers. With many logits, K random directions r
of the logits replace them: |r J d| has the mean size of a normal number times ||J d||_2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ndg import seeds
from ndg.activations.batches import Batch
from ndg.errors import ConfigError
from ndg.gradients.autograd import gradients_of
from ndg.gradients.tape import Tape, add, per_unit
from ndg.importance.batch_sums import BatchStudy, Sums, read_neutrals
from ndg.importance.logits import Logits, check_numbers
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings
from ndg.interventions.baselines import changed
from ndg.units.layout import View

NORMS = (1, 2, math.inf)
MANY, DRAWS = 128, 32
"""Number of logits above which random directions replace them, and the number of directions."""


def gndi(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Scores of 0 or more: first-order change of the logits, in the p-norm.

    The norm is over all logits, or over `settings.target`. The baseline b is zero, the mean of each activation over the
    examples, or a given value; `whole` uses the unrestricted difference. Options: `norm` is p: 1, 2 or inf;
    `projections` is the number of random directions, 0 for none, None for 32 above 128 logits. With directions,
    `errors` are standard errors and p is 2. Source: Nagy 2025, unit and layer form.
    """
    norm = settings.own["norm"]
    if norm not in NORMS:
        raise ConfigError(f"the norm of G-NDI is 1, 2 or inf; got {norm!r}")
    neutrals = read_neutrals(model, loader, layers, settings)
    total = BatchStudy(model, layers, settings, _effects, neutrals).total(loader, "G-NDI")
    errors: dict[str, Any] = {}
    facts: dict[str, Any] = {**total.facts(settings, neutrals.passes)}
    if norm != 2:
        facts |= {"norm": "inf" if norm == math.inf else norm}
    if draws := total.counts["draws"] // total.counts["forwards"]:
        facts |= {"projections": draws, "seed": settings.options.seed}
        squares, share = total.sums["squares"], 1 - shrink(draws) ** 2
        errors = {layer: (share * square).sqrt().numpy() / total.examples for layer, square in squares.items()}
    return METHOD.scores(
        settings,
        total.means("sizes"),
        total.examples,
        whole=total.means("whole"),
        baseline=neutrals.name,
        errors=errors,
        facts=facts,
    )


METHOD = Method(
    gndi,
    title="G-NDI",
    source="Nagy 2025",
    target="all logits",
    options={"norm": 2, "projections": None},
    laws=frozenset({"additive", "baseline", "unread", "neutral"}),
)


def _effects(study: BatchStudy, tape: Tape, batch: Batch) -> Sums:
    settings, layers = study.settings, study.layers
    assert study.neutrals is not None
    logits = tape.run(batch)
    changes = {layer: changed(tape, layer, study.neutrals) for layer in layers}
    check_numbers(batch, changes, logits)
    norm, classes = settings.own["norm"], len(settings.classes(logits.shape[1]))
    draws = _draws(settings, logits.shape[1], norm)
    if draws:
        sizes, wholes = _projected(tape, logits, changes, batch, draws, settings.options.seed)
    else:
        sizes, wholes = _exact(tape, logits, changes, settings, norm)
    rows = {layer: sizes[layer][: batch.count] for layer in layers}
    sums = {
        "sizes": {layer: rows[layer].sum(dim=0) for layer in layers},
        "squares": {layer: rows[layer].square().sum(dim=0) for layer in layers},
        "whole": {layer: wholes[layer][: batch.count].sum(dim=0) for layer in layers},
    }
    return Sums(sums, {"backwards": draws + 1 + len(layers) if draws else classes, "draws": draws})


def _exact(
    tape: Tape, logits: Logits, changes: dict[str, View], settings: Settings, norm: float | int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Norms of the effects, by one backward pass per logit."""
    units: dict[str, Tensor] = {}
    whole: dict[str, Tensor] = {}
    classes = settings.classes(logits.shape[1])
    for target in classes:
        gradients = tape.gradients(logits[:, target], last=target == classes[-1])
        for layer, change in changes.items():
            effects = per_unit(gradients[layer] * change)
            _join(units, layer, effects, norm)
            _join(whole, layer, effects.sum(dim=1), norm)
    if norm == 2:
        units, whole = ({layer: total.sqrt() for layer, total in totals.items()} for totals in (units, whole))
    return units, whole


def _join(totals: dict[str, Tensor], layer: str, effects: Tensor, norm: float | int) -> None:
    """Norm state with the effects on one more logit."""
    if norm == math.inf:
        totals[layer] = torch.maximum(totals[layer], effects.abs()) if layer in totals else effects.abs()
    else:
        add(totals, layer, effects.square() if norm == 2 else effects.abs())


def _projected(
    tape: Tape, logits: Logits, changes: dict[str, View], batch: Batch, draws: int, seed: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The same 2-norms from random directions and exact layer products."""
    squares: dict[str, Tensor] = {}
    for direction in normals(batch, logits, draws, seed):
        gradients = tape.gradients((logits * direction).sum(dim=1), last=False)
        for layer, change in changes.items():
            add(squares, layer, per_unit(gradients[layer] * change).square())
    weights = torch.zeros_like(logits, requires_grad=True)
    rows = tape.gradients((logits * weights).sum(dim=1), last=False, create_graph=True)
    whole = {}
    for layer, change in changes.items():
        product = gradients_of((rows[layer] * change).sum(), weights, retain_graph=True)[0]
        whole[layer] = torch.linalg.vector_norm(product.double(), dim=1)
    return {layer: (total / draws).sqrt() / shrink(draws) for layer, total in squares.items()}, whole


def normals(batch: Batch, logits: Logits, draws: int, seed: int) -> Iterator[Tensor]:
    """Standard normal numbers for each example and logit."""
    numbers = np.array([batch.number(min(row, batch.count - 1)) for row in range(len(logits))])
    logit = logits.shape[1]
    for draw in range(draws):
        words = seeds.words(seed, "projections", draw, examples=numbers, draws=2 * logit)
        radius, angle = (words >> np.uint64(11)).astype(np.float64).reshape(len(words), 2, logit).swapaxes(0, 1) / 2**53
        normal = np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * math.pi * angle)  # Box & Muller 1958
        yield torch.from_numpy(normal).to(logits)


def shrink(draws: int) -> float:
    """Mean root mean square of a number of standard normal numbers."""
    return math.sqrt(2 / draws) * math.exp(math.lgamma((draws + 1) / 2) - math.lgamma(draws / 2))


def _draws(settings: Settings, logits: int, norm: float | int) -> int:
    number = settings.own["projections"]
    if settings.target is not None:
        return 0
    if number is None:
        return DRAWS if logits > MANY and norm == 2 else 0
    if number and norm != 2:
        raise ConfigError(f"projections estimate the 2-norm; got norm={norm}; pass norm=2, or projections=0")
    if number < 0:
        raise ConfigError(f"projections are a number of random directions, 0 or more; got {number}")
    return number
