"""Conductance of a unit by input value (Dhamdhere, Sundararajan & Yan 2018, Definition 1).

    Cond_y^i(x) = (x_i - x'_i) times the integral over a from 0 to 1 of dF/dy * dy/dx_i da

The sum over inputs is the total conductance of the unit, up to quadrature error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from ndg.activations.batches import fixed
from ndg.errors import ConfigError, LayerError
from ndg.gradients.autograd import gradients_of
from ndg.gradients.embeddings import IDS
from ndg.gradients.paths import Path, joined, parts, starting
from ndg.gradients.tape import Tape, add
from ndg.importance.logits import checked_pass, chosen, classes_of
from ndg.importance.methods.conductance import FIXED_STEPS
from ndg.importance.settings import ScoreSettings, Settings, passes
from ndg.options import RunOptions, old_keywords


@old_keywords(settings=ScoreSettings, options=RunOptions, renamed={"internal_batch_size": "batch"})
def conductance_by_input(
    model: nn.Module,
    loader: Iterable[Any],
    layer: str,
    units: Sequence[int] | None = None,
    target: int | None = None,
    *,
    settings: ScoreSettings = ScoreSettings(),
    options: RunOptions = RunOptions(),
) -> dict[str, Float64[np.ndarray, "unit ..."]]:
    """Mean conductance of each unit by input value, in logits.

    The result is `[unit, *shape of one input]`, with "" as the name of a single input. For token ids an input is a
    token, summed over its embedding. `units` selects units of the layer (default: all). F is the logit of the predicted
    class or of `target`. It costs one backward pass per unit and step. Raises DataError for inputs that are neither
    floats nor token ids, ShapeError for a wrong baseline, LayerError as `score`, ConfigError for an unknown unit.
    """
    request = Settings(settings.baselines, settings.n_steps, target=target, options=options)
    n_steps = settings.n_steps or FIXED_STEPS
    sums: dict[str, Tensor] = {}
    examples = 0
    with (
        torch.inference_mode(False),
        fixed(model, options.threads, grad=True),
        starting(model, loader, request.baselines, request.options.batch) as start,
        Tape(model, [layer]) as tape,
    ):
        for batch in passes(loader, request, "conductance by input"):
            path = start.path(batch.inputs)
            with torch.no_grad():
                classes = classes_of(checked_pass(tape, batch, path(1.0)), request)
            wanted = _wanted(units, tape[layer].shape[1], layer)
            for step in range(n_steps):
                flows = _at(tape, path, (step + 0.5) / n_steps, classes, layer, wanted, batch.count)
                for key, flow in flows.items():
                    add(sums, key, flow / n_steps)
            examples += batch.count
    return {key: (total / examples).cpu().numpy() for key, total in sums.items()}


def _at(
    tape: Tape, path: Path, position: float, classes: Tensor, layer: str, wanted: list[int], count: int
) -> dict[str, Float64[Tensor, "unit ..."]]:
    """Sum of dF/dy * dy/dx times the change of x."""
    moving, still = parts(path(position))
    moving = {key: column.detach().requires_grad_() for key, column in moving.items()}
    logits = tape.run(joined(moving, still))
    slope = tape.gradients(chosen(logits, classes), last=False)[layer]
    view = tape.connected(layer)
    rows: dict[str, list[Tensor]] = {key: [] for key in moving}
    for unit in wanted:
        through = (slope[:, unit] * view[:, unit]).sum()
        if not through.requires_grad:
            raise LayerError(
                f"a layer's conductance is broken down by inputs that it depends on; {layer!r} depends on none that "
                "has a gradient; choose a layer behind the inputs"
            )
        gradients = gradients_of(through, list(moving.values()), retain_graph=True, allow_unused=True)
        for key, gradient in zip(moving, gradients, strict=True):
            change = path.moving[key] - path.starts[key]  # zero at padded tokens
            flow = torch.zeros_like(change) if gradient is None else gradient * change
            flow = flow[:count].sum(dim=0, dtype=torch.float64)
            rows[key].append(flow.sum(dim=-1) if IDS + key in path.still else flow)
    return {key: torch.stack(parts) for key, parts in rows.items()}


def _wanted(units: Sequence[int] | None, width: int, layer: str) -> list[int]:
    wanted = list(range(width)) if units is None else [int(unit) for unit in units]
    wrong = [unit for unit in wanted if not 0 <= unit < width]
    if wrong or not wanted:
        raise ConfigError(f"units of {layer!r} are 0 to {width - 1}; got {wrong or 'none'}")
    return wanted
