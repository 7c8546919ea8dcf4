"""A network cut at one layer: what is before it runs once for a batch, what is after it runs for every change.

    with Cut(model, "layer3.0.conv1", batch, neutrals) as cut:
        cut.logits                      # of the untouched network
        cut.differs                     # [example, unit]: where a unit is not at its neutral state already
        cut.run(rows, chosen)           # logits of these rows of the batch, each with its chosen units neutral

Every pass has as many rows as the batch, so floats do not depend on what else is run.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from ndg.activations.batches import Batch, check_finite, forward
from ndg.activations.hooks import find_layer
from ndg.gradients.tape import Tape
from ndg.interventions.baselines import Neutrals
from ndg.interventions.replay import Replay, in_place
from ndg.interventions.sparse_change import Narrow, Untouched, Which
from ndg.units.heads import unfused
from ndg.units.places import Output, find_place

Logits = Float[Tensor, "row logit"]
Rows = Int64[Tensor, " row"]
Chosen = Bool[Tensor, "row unit"]


class Cut:
    """The network in evaluation mode, one batch, one layer. Raises LayerError for activations or logits that are NaN,
    ShapeError for a baseline that does not fit."""

    def __init__(self, model: nn.Module, layer: str, batch: Batch, neutrals: Neutrals, *, each: bool = False) -> None:
        self._model, self._layer, self._batch, self._each = model, layer, batch, each
        self._place, self._neutrals = find_place(model, layer), neutrals
        self._stack = ExitStack()
        self._untouched: Untouched | None = None

    def __enter__(self) -> Cut:
        with self._stack:
            self._stack.enter_context(unfused())
            self._stack.enter_context(self._place.around())
            self._stack.enter_context(torch.no_grad())
            self._replay = Replay(self._model, [self._layer])
            batch = self._batch
            with Tape(self._model, [self._layer], each=self._each) as tape:
                with self._replay.recording(), in_place(find_layer(self._model, self._layer)) as writes:
                    logits = tape.run(batch.inputs).detach()
                self._writes = bool(writes)
                self._form, self._mask = tape.forms[self._layer], tape.mask(self._layer)
                self._outputs = [output.detach() for output in tape.raw(self._layer)]
                self._alone = tape.alone(self._layer)
                view = tape[self._layer]
                check_finite(view[: batch.count], self._layer, batch.start)
                check_finite(logits[: batch.count], "logits", batch.start)
                neutral = self._neutrals.of(self._layer, view, self._form, batch)
                change = tape.unpadded(self._layer, view - neutral)
            self._neutral = self._raw(neutral)
            self.logits = logits[: batch.count]
            self.differs = change.ne(0).any(dim=2)[: batch.count]
            self._open = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def rows(self) -> int:
        """Rows of a pass."""
        return self._batch.rows

    def run(self, rows: Rows, chosen: Chosen) -> Logits:
        """Logits of these rows of the batch, at most as many as it has, each with its chosen units at the neutral
        state."""
        if not len(rows):
            return self.logits[:0]
        count, size = len(rows), self._batch.rows
        if count < size:
            rows = torch.cat([rows, rows[-1:].expand(size - count)])
            chosen = torch.cat([chosen, chosen[-1:].expand(size - count, -1)])
        inputs = self._batch.inputs
        picked = (
            {key: column.index_select(0, rows) for key, column in inputs.items()}
            if isinstance(inputs, dict)
            else inputs.index_select(0, rows)
        )
        module = find_layer(self._model, self._layer)
        change: _Standing | _Writing
        if self._place.steps:
            change = _Writing(module, self._stepwise(chosen, rows))
        elif self._alone:
            written = self._write(self._outputs[0].index_select(0, rows), chosen, rows)
            change = _Standing(module, written, runs=self._writes)
        else:
            change = _Writing(module, lambda output: self._write(output, chosen, rows))
        with self._replay.replaying(rows, size), change:
            return forward(self._model, picked)[:count]

    def run_units(self, rows: Rows, units: Rows) -> Logits:
        """The same where each row has one unit at the neutral state; quicker where rows of one unit lie together.

        What differs in one unit is carried on as that as long as it is, see `ndg.interventions.sparse_change`.
        """
        if not len(rows):
            return self.logits[:0]
        if not self._alone or self._place.steps or self._form.kind not in ("units", "channels") or self._each:
            chosen = torch.zeros((len(rows), self.differs.shape[1]), dtype=torch.bool, device=rows.device)
            chosen[torch.arange(len(rows)), units] = True
            return self.run(rows, chosen)
        count, size = len(rows), self._batch.rows
        if self._untouched is None:
            self._untouched = Untouched()
            self._untouched.begin(recording=True)
            whole = torch.arange(size, device=rows.device)
            self._pass(whole, Narrow(self._outputs[0], None, None, self._untouched))
        if count < size:
            rows, units = (torch.cat([given, given[-1:].expand(size - count)]) for given in (rows, units))
        self._untouched.begin(recording=False)
        which = Which.of(rows, units, size, self._untouched)
        neutral = self._neutral[0].expand_as(self._outputs[0])
        return self._pass(rows, Narrow(self._outputs[0], which.channel(neutral), which, self._untouched))[:count]

    def _pass(self, rows: Rows, output: Tensor) -> Logits:
        """A pass of these rows in which the layer gives this output."""
        inputs = self._batch.inputs
        picked = (
            {key: column.index_select(0, rows) for key, column in inputs.items()}
            if isinstance(inputs, dict)
            else inputs.index_select(0, rows)
        )
        standing = _Standing(find_layer(self._model, self._layer), output, runs=self._writes)
        with torch.no_grad(), self._replay.replaying(rows, self._batch.rows), standing:
            logits = forward(self._model, picked)
        return logits.whole() if isinstance(logits, Narrow) else logits

    def _write(self, output: Output, chosen: Chosen, rows: Rows) -> Output:
        places = self._form.back(chosen[:, :, None], output)
        if self._mask is not None and output.ndim == 3:
            places = places & self._mask.index_select(0, rows)[:, :, None]
        return torch.where(places, self._rest(0, rows), output)

    def _rest(self, step: int, rows: Rows) -> Output:
        """The neutral state of these rows."""
        neutral = self._neutral[step]
        return neutral if len(neutral) == 1 else neutral.index_select(0, rows)

    def _stepwise(self, chosen: Chosen, rows: Rows) -> Any:
        """Writes the chosen units at each time step that is no padding."""
        units = self._outputs[0].shape[1]
        steps = iter(range(len(self._outputs)))
        by_step = (
            chosen.unflatten(1, (units, -1)) if self._each else chosen[:, :, None].expand(-1, -1, len(self._outputs))
        )

        def write(output: Output) -> Output:
            step = next(steps)
            places = by_step[:, :, step]
            if self._mask is not None:
                places = places & self._mask.index_select(0, rows)[:, step, None]
            return torch.where(places, self._rest(step, rows), output)

        return write

    def _raw(self, neutral: Tensor) -> list[Output]:
        """The neutral state in the shape of each output."""
        if not self._place.steps:
            return [self._form.back(neutral, self._outputs[0]).to(self._outputs[0])]
        units, steps = self._outputs[0].shape[1], len(self._outputs)
        by_step = neutral.reshape(len(neutral), units, -1).expand(-1, -1, steps)
        return [by_step[:, :, step].to(self._outputs[0]) for step in range(steps)]


class _Standing:
    """While it lasts a module and its hooks do not run, and it gives this output; with `runs` what it does to its
    input is done."""

    def __init__(self, module: nn.Module, output: Output, *, runs: bool) -> None:
        self._module, self._output, self._runs = module, output, runs

    def __enter__(self) -> None:
        given, run = vars(self._module), self._module.forward
        self._before = {name: given[name] for name in HELD if name in given}

        def forward(*arguments: Any, **named: Any) -> Output:
            if self._runs:
                run(*arguments, **named)
            return self._output

        given.update(forward=forward, _forward_hooks=OrderedDict(), _forward_pre_hooks=OrderedDict())

    def __exit__(self, *_: object) -> None:
        del vars(self._module)["forward"]
        vars(self._module).update(self._before)


HELD = ("forward", "_forward_hooks", "_forward_pre_hooks")
"""Attributes of a module that say what its call does."""


class _Writing:
    """While it lasts what a module gives is written to."""

    def __init__(self, module: nn.Module, write: Any) -> None:
        self._module, self._write = module, write

    def __enter__(self) -> None:
        def write(module: nn.Module, arguments: Any, output: Any) -> Any:
            return (self._write(output[0]), *output[1:]) if isinstance(output, tuple) else self._write(output)

        self._handle = self._module.register_forward_hook(write)

    def __exit__(self, *_: object) -> None:
        self._handle.remove()
