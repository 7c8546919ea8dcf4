"""Passes that several changes of one layer share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from time import perf_counter

import torch
from torch import Tensor

from ndg.interventions.engine import Write
from ndg.interventions.passes import BaselinePass, Bits, Indices, Passes

STACK = 16
"""Changes of a batch that share a pass."""

FEWEST = 3
"""Parts that share a pass, which as many as `STACK` fill: fewer have passes of their own."""

QUICK = 0.005
"""Seconds of a pass up to which changes share one: of longer passes the calls are a small part."""


def run_each(passes: Passes, baseline: BaselinePass, layer: str, changes: Iterable[Write]) -> Iterator[Tensor]:
    """Logits of every row under each change of one layer.

    Quick passes are shared by several changes where that gives the same logits to the bit.
    """
    changes = iter(changes)
    together = STACK if _shares(passes, baseline, layer) else 1
    while writes := list(islice(changes, together)):
        if len(writes) == 1:
            yield passes.run(baseline, {layer: writes[0]})[0]
        else:
            filled = writes + writes[-1:] * (together - len(writes))
            yield from _shared(passes, baseline, layer, filled)[: len(writes)]


def run_parts(
    passes: Passes, baseline: BaselinePass, layer: str, parts: Iterable[tuple[Write, Indices]], read: Sequence[str] = ()
) -> Iterator[tuple[Tensor, dict[str, Bits]]]:
    """Logits and booleans of the `read` layers under a write, as `Passes.run` gives them.

    Each part has at most as many rows as the batch; quick passes are shared as those of `run_each`.
    """
    parts, size = iter(parts), baseline.batch.rows
    while some := list(islice(parts, STACK)):
        if len(some) < FEWEST or not (_shares(passes, baseline, layer) and passes.selects(baseline)):
            yield from (passes.run(baseline, {layer: write}, read, rows) for write, rows in some)
            continue
        filled = some + some[-1:] * (STACK - len(some))
        stacked, rows = _stacked([write for write, _ in filled]), torch.cat([baseline.rows(rows) for _, rows in filled])
        logits, bits = passes.run_rows(baseline, {layer: stacked}, read, len(rows), rows)
        for number, (_, wanted) in enumerate(some):
            own = slice(number * size, number * size + len(wanted))
            yield logits[own], {path: values[own] for path, values in bits.items()}


def _shares(passes: Passes, baseline: BaselinePass, layer: str) -> bool:
    """Whether changes can share passes; tried once."""
    key = f"shares {layer}"
    if key not in passes.tried:
        output, seconds = baseline.outputs[layer], []
        everywhere = output.new_ones((len(output), *[1] * (output.ndim - 1)), dtype=torch.bool)
        writes, logits = [], []
        for number in range(STACK):
            writes.append(Write(everywhere, output.roll(1 + number, 0)))
            started = perf_counter()
            logits.append(passes.run(baseline, {layer: writes[-1]})[0])
            seconds.append(perf_counter() - started)
            if number == 2 and min(seconds) > QUICK:
                break
        passes.tried[key] = False
        if len(logits) == STACK:
            with suppress(Exception):  # a network may take no other number of rows
                passes.tried[key] = all(map(torch.equal, _shared(passes, baseline, layer, writes), logits))
    return passes.tried[key]


def _shared(passes: Passes, baseline: BaselinePass, layer: str, writes: Sequence[Write]) -> Sequence[Tensor]:
    """Logits under each of these changes, of one pass."""
    size = baseline.batch.rows
    rows = torch.arange(size).repeat(len(writes))
    return passes.run_rows(baseline, {layer: _stacked(writes)}, rows=rows)[0].split(size)


def _stacked(writes: Sequence[Write]) -> Write:
    return Write(torch.cat([write.places for write in writes]), torch.cat([write.values for write in writes]))
