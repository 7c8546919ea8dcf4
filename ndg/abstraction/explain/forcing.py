"""Sets of literals forced in reference examples, with controls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from torch import Tensor

from ndg.abstraction.controls import PROTOTYPE_SUREST, RANDOM, Controls, Prototypes
from ndg.abstraction.explain.result import Forced
from ndg.activations.batches import compute_batches
from ndg.activations.sampling import count, draw, only
from ndg.errors import DataError
from ndg.graph.ndg import NDG
from ndg.interventions.passes import BaselinePass, Passes, argmax
from ndg.interventions.substitution import Substitution, Writing
from ndg.literal import Literal
from ndg.options import RunOptions

Codes = Int64[np.ndarray, "_"]
"""Codes of literals, rising; sets of several lengths meet in one function."""


def force(
    passes: Passes,
    graph: NDG,
    writing: Writing,
    sets: dict[str, Codes],
    about: int,
    reference: Iterable[Any],
    examples: int,
    options: RunOptions,
) -> tuple[Forced, ...]:
    """Predictions when sets are forced in reference examples without them."""
    size = count(reference)
    if not size:
        raise DataError("literals are forced in reference examples; the loader gave none; check the split")
    prototypes = {layer: Prototypes.of(graph, layer) for layer in passes.changed}
    totals = {what: np.zeros(9, np.int64) for what in sets}
    drawn = draw(options.seed, "explain", size, min(examples, size))
    for batch in compute_batches(only(reference, drawn), options.batch):
        known = passes.baseline(batch)
        for what, codes in sets.items():
            holds = known.nodes(passes.nodes)[:, codes >> 1] == (codes & 1).astype(np.bool_)
            open_rows = ~holds.all(axis=1)
            ways = _ways(graph, codes, prototypes, known.numbers, about, options.seed)
            seen = [argmax(_written(passes, writing, known, way))[: batch.count] == about for way in ways]
            before, everyone = known.predicted == about, np.ones(batch.count, np.bool_)
            outcomes = (everyone, before, *seen, ~before, *(after & ~before for after in seen))
            totals[what] += [int((outcome & open_rows).sum()) for outcome in outcomes]
    return tuple(Forced(what, texts(graph, codes), *map(int, totals[what])) for what, codes in sets.items())


Way = dict[str, tuple[Bool[np.ndarray, "example unit"], Bool[np.ndarray, "example unit"]]]
"""By layer the units that are set in each example, and the booleans that they are set to."""


def _ways(
    graph: NDG,
    codes: Codes,
    prototypes: dict[str, Prototypes],
    numbers: Int64[np.ndarray, " example"],
    about: int,
    seed: int,
) -> tuple[Way, Way, Way]:
    """A set of literals, and its random and prototype controls."""
    own: Way = {}
    others: tuple[Way, Way] = ({}, {})
    everyone, beside = np.full(len(numbers), about), (RANDOM, PROTOTYPE_SUREST)
    for layer, prototype in prototypes.items():
        where = graph.nodes.slice(layer)
        here = codes[(codes >> 1 >= where.start) & (codes >> 1 < where.stop)]
        chosen, booleans = np.zeros((2, len(numbers), where.stop - where.start), np.bool_)
        chosen[:, (here >> 1) - where.start] = True
        booleans[:, (here >> 1) - where.start] = here & 1
        own[layer] = (chosen, booleans)
        drawn = Controls(prototype, seed, numbers, everyone).of(np.full(len(numbers), len(here)), beside)
        for way, name in zip(others, beside, strict=True):
            way[layer] = drawn[name]
    return own, *others


def _written(passes: Passes, writing: Writing, known: BaselinePass, way: Way) -> Tensor:
    """Logits when some units are set and the others stay."""
    changes = {layer: Substitution(writing, known, layer, values, units) for layer, (units, values) in way.items()}
    return passes.run(known, changes)[0]


def texts(graph: NDG, codes: Codes) -> tuple[str, ...]:
    """How literals of these codes are written."""
    return tuple(graph.nodes.text(Literal.of(code)) for code in codes.tolist())
