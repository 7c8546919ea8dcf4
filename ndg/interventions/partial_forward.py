"""Run a network once up to a layer, then each changed rest.

    with PartialForward(model, "layer3.0.conv1", batch, neutrals) as part:
        part.logits                     # of the untouched network
        part.differs                    # [example, unit]: where a unit is not at its neutral state already
        part.run(rows, chosen)          # logits of these rows of the batch, each with its chosen units neutral

Every pass has as many rows as the batch, so floats do not depend on what else is run.
"""

from __future__ import annotations

from contextlib import ExitStack

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ndg.activations.batches import Batch, check_finite, padded
from ndg.activations.hooks import find_layer
from ndg.gradients.tape import Tape
from ndg.interventions.baselines import Neutrals
from ndg.interventions.engine import Change, Engine, Fixed, Rows, Write
from ndg.interventions.replay import in_place
from ndg.interventions.sparse_change import BaselineValues, ChangedUnits, OneUnit
from ndg.units.heads import unfused
from ndg.units.layout import stack_steps
from ndg.units.readings import Output

Logits = Float[Tensor, "row logit"]
Chosen = Bool[Tensor, "row unit"]


class PartialForward:
    """One batch and one layer of a network in evaluation mode.

    With `each` every position is a unit. LayerError for NaN in activations or logits, ShapeError for a wrong baseline.
    """

    def __init__(self, model: nn.Module, layer: str, batch: Batch, neutrals: Neutrals, *, each: bool = False) -> None:
        self._model, self.layer, self._batch, self._each = model, layer, batch, each
        self._engine, self._neutrals = Engine(model, [layer]), neutrals
        self.rows, self._stack = batch.rows, ExitStack()
        self._baseline_values: BaselineValues | None = None

    def __enter__(self) -> PartialForward:
        batch, layer = self._batch, self.layer
        with self._stack:
            self._stack.enter_context(unfused())
            self._stack.enter_context(self._engine.visible())
            self._stack.enter_context(torch.no_grad())
            recording = self._engine.recording(batch.inputs)
            with recording as self._prefix, Tape(self._model, [layer], each=self._each) as tape:
                with in_place(find_layer(self._model, layer)) as writes:
                    logits = tape.run(batch).detach()
                self._writes = bool(writes)
                self._steps = tape.layers[layer].steps
                self._layout, self._mask = tape.layouts[layer], tape.masks[layer]
                outputs = [output.detach() for output in tape.raw[layer]]
                self._output = stack_steps(layer, outputs) if self._steps else outputs[0]
                self._alone = layer not in tape.tuples
                view = tape[layer]
                check_finite(view[: batch.count], layer, batch)
                check_finite(logits[: batch.count], "logits", batch)
                neutral = self._neutrals.of(layer, view, self._layout, batch)
                change = tape.unpadded(layer, view - neutral)
            self._neutral = self._layout.broadcast(neutral, self._output).to(self._output)
            self.logits = logits[: batch.count]
            self.differs = change.ne(0).any(dim=2)[: batch.count]
            self._open = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def run(self, rows: Rows, chosen: Chosen) -> Logits:
        """Logits of rows of the batch, with their chosen units neutral."""
        if not len(rows):
            return self.logits[:0]
        count = len(rows)
        rows, chosen = padded(rows, self.rows), padded(chosen, self.rows)
        write = self._write(rows, chosen)
        change: Change = write
        if self._alone and not self._steps:
            change = Fixed(write(self._output.index_select(0, rows)), self._writes)
        logits: Tensor = self._engine.run(self._prefix, {self.layer: change}, rows)
        return logits[:count]

    def run_units(self, rows: Rows, units: Rows) -> Logits:
        """Logits of rows with one neutral unit each.

        Quickest sorted by unit.
        """
        if not len(rows):
            return self.logits[:0]
        if not self._alone or self._layout.kind not in ("units", "channels") or self._each:
            chosen = torch.zeros((len(rows), self.differs.shape[1]), dtype=torch.bool, device=rows.device)
            chosen[torch.arange(len(rows)), units] = True
            return self.run(rows, chosen)
        count, size = len(rows), self.rows
        if self._baseline_values is None:
            self._baseline_values = BaselineValues()
            self._baseline_values.begin(recording=True)
            whole = torch.arange(size, device=rows.device)
            self._pass(whole, OneUnit(self._output, None, None, self._baseline_values))
        rows, units = padded(rows, size), padded(units, size)
        self._baseline_values.begin(recording=False)
        which = ChangedUnits.of(rows, units, size, self._baseline_values)
        neutral = which.channel(self._neutral.expand_as(self._output))
        return self._pass(rows, OneUnit(self._output, neutral, which, self._baseline_values))[:count]

    def _pass(self, rows: Rows, output: OneUnit) -> Logits:
        """Logits of rows in which the layer gives this output."""
        with torch.no_grad():
            logits = self._engine.run(self._prefix, {self.layer: Fixed(output, self._writes)}, rows)
        return logits.whole() if isinstance(logits, OneUnit) else logits

    def _write(self, rows: Rows, chosen: Chosen) -> Write:
        mask = None if self._mask is None else self._mask.index_select(0, rows)
        places = self._layout.of_units(chosen, self._output)
        return Write(self._layout.unpadded_places(places, self._output, mask), self._values(rows))

    def _values(self, rows: Rows) -> Output:
        """The neutral state of these rows."""
        return self._neutral if len(self._neutral) == 1 else self._neutral.index_select(0, rows)
