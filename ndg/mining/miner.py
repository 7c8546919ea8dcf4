"""From packed booleans to implications: count a tile of pairs, judge it, keep what holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndg.bits.matrix import BitMatrix
from ndg.errors import BitsError
from ndg.literal import Literal
from ndg.mining.counts import count, tiles
from ndg.mining.criteria import Criterion, criterion
from ndg.mining.implications import Implications

CONSTANT = 1e-4


def find(bits: BitMatrix, rule: str | Criterion = "paper", **parameters: Any) -> Implications:
    """The implications among all nodes of `bits` that hold under a criterion (Hu & Tian 2022, section 3).

    A node whose rate of being on is below 1e-4 or above 1 - 1e-4 is constant and takes part in none. Two labels imply
    each other's negation trivially, so of label pairs only equivalences are kept (in a binary task, label 0 is not
    label 1). Memory is one tile of counts and the implications found.

    Raises BitsError without examples, ConfigError for an unknown criterion or a parameter out of range.
    """
    judge = criterion(rule, **parameters)
    if not bits.examples:
        raise BitsError("implications are mined from at least one example; got none; check the loader and the split")
    nodes, n, on = bits.nodes, bits.examples, bits.on()
    varies = (on >= CONSTANT * n) & (on <= (1 - CONSTANT) * n)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for top, left, counts in tiles(bits):
        candidate = varies[top : top + len(counts.rows), None] & varies[None, left : left + len(counts.columns)]
        if top == left:
            candidate = np.triu(candidate, 1)
        held = {}
        for first in (True, False):
            for second in (True, False):
                exceptions = counts.cell(first, not second)
                antecedent = counts.rows if first else n - counts.rows
                negation = n - counts.columns if second else counts.columns
                holds = judge.holds(exceptions, antecedent[:, None], negation[None, :], n)
                held[first, second] = holds & candidate
        labels = max(nodes.labels - top, 0), max(nodes.labels - left, 0)
        pairs = (slice(0, labels[0]), slice(0, labels[1]))
        for same in (True, False):
            equivalent = held[True, same][pairs] & held[False, not same][pairs]
            held[True, same][pairs] = held[False, not same][pairs] = equivalent
        for (first, second), holds in held.items():
            i, j = np.nonzero(holds)
            antecedents, consequents = 2 * (top + i) + first, 2 * (left + j) + second
            exceptions = counts.cell(first, not second)[i, j]
            found += [(antecedents, consequents, exceptions), (consequents ^ 1, antecedents ^ 1, exceptions)]
    antecedents, consequents, exceptions = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((consequents, antecedents))
    return Implications(
        nodes=nodes,
        antecedents=antecedents[order].astype(np.int32),
        consequents=consequents[order].astype(np.int32),
        exceptions=exceptions[order].astype(np.int64),
        on=on,
        with_label=count(bits, rows=slice(0, nodes.labels)).both,
        examples=n,
        constants=tuple(Literal(int(node), bool(2 * on[node] > n)) for node in np.flatnonzero(~varies)),
        criterion=judge.to_dict(),
        thresholds=np.array(bits.thresholds),
        binarizer=bits.binarizer,
        bits_digest=bits.digest,
    )
