"""General Neuro-Dynamic Importance (Nagy 2025): first-order effect of neutralising a unit, on the logits.

    GNDI_u = E_x || J(x) ((h(x) - b) restricted to u) ||_2,    J the Jacobian of the logits at the layer's output h

Row c of J is one backward pass of logit c, so one forward and C backward passes give every unit of every layer, where
one Jacobian-vector product per unit would give the same. For the effect along the whole way to the baseline, see
ablation: G-NDI equals it where the rest of the network is linear in the unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ndg.activations.compute import check_finite
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings, check_rereadable, passes
from ndg.importance.tape import Tape, add, per_unit


def gndi(model: nn.Module, loader: Iterable[Any], layers: tuple[str, ...], settings: Settings) -> Scores:
    """Scores of 0 or more: by how many logits, in the Euclidean norm, the output would move if the unit were at b.

    The norm is over all logits, or over the one of `settings.target`. b is zero, or the mean over the examples of each
    activation, position by position. A channel is restricted with all its positions. `whole` restricts to nothing.
    """
    with Tape(model, layers) as tape:
        means = _means(tape, loader, layers, settings) if settings.baseline == "mean" else {}
        values: dict[str, Tensor] = {}
        whole: dict[str, Tensor] = {}
        examples = forwards = backwards = 0
        for one in passes(loader, settings, "G-NDI"):
            logits = tape.run(one.inputs)
            changes = {layer: tape[layer] - means[layer] if means else tape[layer] for layer in layers}
            for layer in layers:
                check_finite(changes[layer][: one.count], layer, one.start)
            squares: dict[str, Tensor] = {}
            whole_squares: dict[str, Tensor] = {}
            classes = settings.classes(logits.shape[1])
            for target in classes:
                gradients = tape.gradients(logits[:, target], last=target == classes[-1])
                for layer in layers:
                    effects = per_unit(gradients[layer] * changes[layer])[: one.count]
                    add(squares, layer, effects.square())
                    add(whole_squares, layer, effects.sum(dim=1).square())
            for layer in layers:
                add(values, layer, squares[layer].sqrt().sum(dim=0))
                add(whole, layer, whole_squares[layer].sqrt().sum(dim=0))
            examples, forwards, backwards = examples + one.count, forwards + 1, backwards + len(classes)
    if means:
        forwards *= 2
    return Scores(
        method="gndi",
        values={layer: (values[layer] / examples).cpu().numpy() for layer in layers},
        whole={layer: float(whole[layer] / examples) for layer in layers},
        target=settings.describe("all logits"),
        baseline="mean activation" if means else "zero activation",
        examples=examples,
        facts={"batch": settings.batch, "forward_passes": forwards, "backward_passes": backwards},
    )


def _means(tape: Tape, loader: Iterable[Any], layers: tuple[str, ...], settings: Settings) -> dict[str, Tensor]:
    """Mean over the examples of each activation of each layer."""
    check_rereadable(loader)
    sums: dict[str, Tensor] = {}
    examples = 0
    with torch.no_grad():
        for one in passes(loader, settings, "mean activations"):
            tape.run(one.inputs)
            for layer in layers:
                add(sums, layer, tape[layer][: one.count].sum(dim=0, dtype=torch.float64))
            examples += one.count
    return {layer: (total / examples).to(tape[layer].dtype) for layer, total in sums.items()}
