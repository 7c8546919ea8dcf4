"""Units of several layers held at their neutral state, in every pass while it lasts, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from ndg.activations.batches import Batch
from ndg.activations.hooks import find_modules
from ndg.gradients.tape import Tape
from ndg.interventions.baselines import Neutrals
from ndg.units.places import Form, Output, find_place


@dataclass(frozen=True, eq=False)
class Rest:
    """The neutral state of a layer in the shape of its output: one tensor, or one per time step; nothing is written
    where a `mask` leaves tokens out."""

    form: Form
    steps: bool
    values: tuple[Output, ...]
    mask: Bool[Tensor, "row token"] | None


def rests(
    model: nn.Module, layers: tuple[str, ...], batch: Batch, neutrals: Neutrals
) -> tuple[Output, dict[str, Rest]]:
    """The untouched logits of a batch, padding included, and the neutral state of each layer there."""
    with torch.no_grad(), Tape(model, layers) as tape:
        logits = tape.run(batch.inputs)
        found = {}
        for layer in layers:
            view, form, raw = tape[layer], tape.forms[layer], tape.raw(layer)
            neutral, steps = neutrals.of(layer, view, form, batch), find_place(model, layer).steps
            if steps:
                by_step = neutral.reshape(len(neutral), view.shape[1], -1).expand(-1, -1, len(raw))
                values = tuple(by_step[:, :, step].to(raw[0]) for step in range(len(raw)))
            else:
                values = (form.back(neutral, raw[0]).to(raw[0]),)
            found[layer] = Rest(form, steps, values, tape.mask(layer))
    return logits, found


@contextmanager
def silenced(
    model: nn.Module, chosen: Mapping[str, Bool[np.ndarray, " _"]], rests: Mapping[str, Rest]
) -> Iterator[nn.Module]:
    """The network with the chosen units of each layer at their neutral state; no gradient reaches what made them."""
    places = {layer: find_place(model, layer) for layer, units in chosen.items() if units.any()}
    step = dict.fromkeys(places, 0)

    def begin(module: nn.Module, arguments: Any) -> None:
        step.update(dict.fromkeys(places, 0))

    with ExitStack() as stack:
        for place in places.values():
            stack.enter_context(place.around())
        handles = [model.register_forward_pre_hook(begin)]
        for layer, module in find_modules(model, places).items():
            handles.append(module.register_forward_hook(_writing(layer, chosen[layer], rests[layer], step)))
        for handle in handles:
            stack.callback(handle.remove)
        yield model


def _writing(
    layer: str, units: Bool[np.ndarray, " unit"], rest: Rest, step: dict[str, int]
) -> Callable[[nn.Module, Any, Any], Any]:
    wanted = torch.from_numpy(units)

    def write(module: nn.Module, arguments: Any, output: Any) -> Any:
        first: Tensor = output[0] if isinstance(output, tuple) else output
        here = wanted.to(first.device)[None, :]
        places = here if rest.steps else rest.form.back(here[:, :, None], first)
        if rest.mask is not None:
            places = places & (rest.mask[:, step[layer], None] if rest.steps else rest.mask[:, :, None])
        written = torch.where(places, rest.values[step[layer]], first)
        step[layer] += rest.steps
        return (written, *output[1:]) if isinstance(output, tuple) else written

    return write
