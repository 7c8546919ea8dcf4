"""Conductance of a unit broken down by input: which inputs a logit is driven by, through which unit.

    Cond_y^i(x) = (x_i - x'_i) times the integral over a from 0 to 1 of dF/dy * dy/dx_i da

Summed over the inputs it is the unit's total conductance (Dhamdhere, Sundararajan & Yan 2018, Definition 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from ndg.activations.compute import COMPUTE_BATCH, check_finite, fixed
from ndg.errors import ConfigError, LayerError
from ndg.importance.conductance import FIXED_STEPS, chosen, classes_of
from ndg.importance.paths import Start, parts
from ndg.importance.settings import Baselines, Settings, passes
from ndg.importance.tape import Tape


def conductance_by_input(
    model: nn.Module,
    loader: Iterable[Any],
    layer: str,
    units: Sequence[int] | None = None,
    target: int | None = None,
    *,
    baselines: Baselines = "zero",
    n_steps: int = FIXED_STEPS,
    internal_batch_size: int = COMPUTE_BATCH,
    threads: int = 1,
) -> dict[str, Float64[np.ndarray, "unit ..."]]:
    """Mean over the examples of each unit's conductance of each input value, in logits, by name of the input ("" for
    inputs alone): `[unit, *shape of one input]`.

    `units` are those of the layer that are wanted, by default all. F is the logit of the predicted class, or of
    `target`. The cost is one backward pass for each unit and step, so it is for layers and inputs of moderate size.
    dy/dx_i is taken at midpoints, where `score(..., "conductance")` takes the change of y itself, so the sum over the
    inputs meets that within quadrature error.

    Raises DataError for inputs that are not floats, ShapeError for a baseline that does not fit, LayerError as `score`,
    ConfigError for a unit that there is not.
    """
    settings = Settings(target=target, baselines=baselines, internal_batch_size=internal_batch_size, threads=threads)
    sums: dict[str, Tensor] = {}
    examples = 0
    with torch.inference_mode(False), fixed(model, threads, grad=True), Tape(model, [layer]) as tape:
        start = Start.read(loader, settings)
        for one in passes(loader, settings, "conductance by input"):
            path = start.path(one.inputs)
            with torch.no_grad():
                classes = classes_of(tape.run(path(1.0)), settings)
                check_finite(tape[layer][: one.count], layer, one.start)
            wanted = _wanted(units, tape[layer].shape[1], layer)
            for step in range(n_steps):
                found = _at(tape, path((step + 0.5) / n_steps), classes, layer, wanted)
                for key, gradients in found.items():
                    change = path.moving[key] - path.starts[key]
                    part = (gradients * change[None])[:, : one.count].sum(dim=1, dtype=torch.float64) / n_steps
                    sums[key] = sums[key] + part if key in sums else part
            examples += one.count
    return {key: (total / examples).cpu().numpy() for key, total in sums.items()}


def _at(tape: Tape, point: Any, classes: Tensor, layer: str, wanted: list[int]) -> dict[str, Tensor]:
    """dF/dy * dy/dx at a point of the path, by name of the input: `[unit, example, *input]`."""
    moving, still = parts(point)
    moving = {key: column.detach().requires_grad_() for key, column in moving.items()}
    logits = tape.run(moving[""] if "" in moving else moving | still)
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
        gradients = torch.autograd.grad(through, list(moving.values()), retain_graph=True, allow_unused=True)
        for (key, column), gradient in zip(moving.items(), gradients, strict=True):
            rows[key].append(torch.zeros_like(column) if gradient is None else gradient)
    return {key: torch.stack(parts) for key, parts in rows.items()}


def _wanted(units: Sequence[int] | None, width: int, layer: str) -> list[int]:
    wanted = list(range(width)) if units is None else [int(unit) for unit in units]
    wrong = [unit for unit in wanted if not 0 <= unit < width]
    if wrong or not wanted:
        raise ConfigError(f"units of {layer!r} are 0 to {width - 1}; got {wrong or 'none'}")
    return wanted
