"""Implications as they are found, tile by tile, within a budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32, Int64

from ndg.errors import BudgetError
from ndg.mining.criteria import Criterion

STEPS = 64


@dataclass(frozen=True, eq=False)
class Chunk:
    """Implications without their contrapositives, with n(p and ~q), n(p) and n(~q).

    Bit r of `rules` says that rule r holds.
    """

    antecedents: Int32[np.ndarray, " edge"]
    consequents: Int32[np.ndarray, " edge"]
    exceptions: Int64[np.ndarray, " edge"]
    rules: Int64[np.ndarray, " edge"]

    def __len__(self) -> int:
        return len(self.antecedents)

    def under(self, rule: int) -> Bool[np.ndarray, " edge"]:
        """Which hold under the rule of that number."""
        return self.rules >> rule & 1 != 0


@dataclass(frozen=True, eq=False)
class Found:
    """What holds in the tiles so far, at most `budget` implications, after `judged` pairs of nodes; `+` is more tiles.

    Raises OverBudgetError when an addition exceeds the budget.
    """

    budget: int
    chunks: tuple[Chunk, ...] = ()
    judged: int = 0

    def __len__(self) -> int:
        """Implications, contrapositives included."""
        return 2 * sum(map(len, self.chunks))

    def __add__(self, other: Found) -> Found:
        both = Found(self.budget, (*self.chunks, *other.chunks), self.judged + other.judged)
        if len(both) > self.budget:
            raise OverBudgetError(both)
        return both

    def filled(self, tiles: Iterable[tuple[Chunk, int]]) -> Found:
        """With the chunks of these tiles, each with its number of pairs, until the budget is exceeded."""
        kept, size, judged = list(self.chunks), len(self), self.judged
        for chunk, pairs in tiles:
            judged += pairs
            if len(chunk):
                kept.append(chunk)
                size += 2 * len(chunk)
            if size > self.budget:
                break
        return Found(self.budget, tuple(kept), judged)

    def arranged(self, rule: int, literals: int) -> dict[str, Any]:
        """The sorted columns of the implications under one rule, contrapositives included."""
        from ndg.mining.sifting import arrange

        kept = [chunk.under(rule) for chunk in self.chunks]
        columns = [
            np.concatenate([np.zeros(0, kind), *(getattr(c, name)[k] for c, k in zip(self.chunks, kept, strict=True))])
            for name, kind in (("antecedents", np.int32), ("consequents", np.int32), ("exceptions", np.int64))
        ]
        size = 2 * len(columns[0])
        tails, heads, exceptions = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int64)
        arrange(columns[0], columns[1], columns[2], literals, tails, heads, exceptions)
        return {"antecedents": tails, "consequents": heads, "exceptions": exceptions}


class OverBudgetError(BudgetError):
    """What was found until the budget was exceeded."""

    def __init__(self, found: Found) -> None:
        super().__init__(f"{len(found)} implications exceed the budget of {found.budget}")
        self.found = found


def advice(
    found: Found, rules: Sequence[Criterion], holds: Int64[np.ndarray, " literal"], examples: int, pairs: int
) -> str:
    """What to say of implications that exceed their budget: how many, and a stricter criterion that would do.

    `holds` counts the examples on which each literal holds; `pairs` is the number of all pairs of nodes to be counted.
    The stricter criterion is judged on what was found so far, and its number of implications taken in proportion to the
    pairs. Of several criteria the one under which most hold is made stricter.
    """
    sizes = [2 * sum(int(chunk.under(number).sum()) for chunk in found.chunks) for number in range(len(rules))]
    rule = rules[int(np.argmax(sizes))]
    share = found.judged / max(pairs, 1)
    told = (
        f"more than mining.max_edges = {found.budget:,} implications hold: {len(found):,} after {share:.0%} of the "
        "pairs of nodes"
    )
    name, stricter = rule.to_dict().get("name", "this criterion"), rule
    for _ in range(STEPS):
        step = getattr(stricter, "stricter", None)
        if step is None:
            break
        stricter = step()
        size = 2 * sum(int(_judged(chunk, stricter, holds, examples).sum()) for chunk in found.chunks)
        if size <= found.budget * share:
            changed = {key: value for key, value in stricter.to_dict().items() if value != rule.to_dict().get(key)}
            words = " ".join(f"criterion.{key}={value:.6g}" for key, value in changed.items())
            about = f"{size / share:,.0f}" + (" if the other pairs are like these" if share < 1 else "")
            return f"{told}; {words} leaves about {about}; or raise the budget, or pair fewer layers"
    return f"{told}; use a criterion stricter than {name}, raise the budget, or pair fewer layers (mining.pairs)"


def _judged(
    chunk: Chunk, rule: Criterion, holds: Int64[np.ndarray, " literal"], examples: int
) -> Bool[np.ndarray, " edge"]:
    return rule.holds(chunk.exceptions, holds[chunk.antecedents], holds[chunk.consequents ^ 1], examples)
