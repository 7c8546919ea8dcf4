"""Buffer of mined implications, tile by tile, within a budget."""

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
    """Implications without contrapositives; bit r of `rules` says whether rule r holds."""

    antecedents: Int32[np.ndarray, " edge"]
    consequents: Int32[np.ndarray, " edge"]
    exceptions: Int64[np.ndarray, " edge"]
    rules: Int64[np.ndarray, " edge"]

    def __len__(self) -> int:
        return len(self.antecedents)

    def under(self, rule: int) -> Bool[np.ndarray, " edge"]:
        """Mask of the implications that hold under rule number `rule`."""
        return self.rules >> rule & 1 != 0


@dataclass(frozen=True, eq=False)
class ImplicationBuffer:
    """Implications of `judged` pairs so far; `+` raises OverBudgetError above `budget`."""

    budget: int
    chunks: tuple[Chunk, ...] = ()
    judged: int = 0

    def __len__(self) -> int:
        """Number of implications, contrapositives included."""
        return 2 * sum(map(len, self.chunks))

    def __add__(self, other: ImplicationBuffer) -> ImplicationBuffer:
        total = ImplicationBuffer(self.budget, (*self.chunks, *other.chunks), self.judged + other.judged)
        if len(total) > self.budget:
            raise OverBudgetError(total)
        return total

    def extend(self, tiles: Iterable[tuple[Chunk, int]]) -> ImplicationBuffer:
        """Add tiles (a chunk, its number of pairs) up to the budget."""
        chunks, size, judged = list(self.chunks), len(self), self.judged
        for chunk, pairs in tiles:
            judged += pairs
            if len(chunk):
                chunks.append(chunk)
                size += 2 * len(chunk)
            if size > self.budget:
                break
        return ImplicationBuffer(self.budget, tuple(chunks), judged)

    def columns(self, rule: int, literals: int) -> dict[str, Any]:
        """Sorted columns of the implications under one rule, with contrapositives."""
        from ndg.mining.sifting import arrange

        masks = [chunk.under(rule) for chunk in self.chunks]
        kinds = {"antecedents": np.int32, "consequents": np.int32, "exceptions": np.int64}
        columns = [
            np.concatenate([np.zeros(0, kind), *(getattr(c, name)[m] for c, m in zip(self.chunks, masks, strict=True))])
            for name, kind in kinds.items()
        ]
        result = {name: np.empty(2 * len(columns[0]), kind) for name, kind in kinds.items()}
        arrange(*[*columns, literals, *result.values()])
        return result


class OverBudgetError(BudgetError):
    """More implications than the budget; `buffer` holds those so far."""

    def __init__(self, buffer: ImplicationBuffer) -> None:
        super().__init__(f"{len(buffer)} implications exceed the budget of {buffer.budget}")
        self.buffer = buffer


def advice(
    buffer: ImplicationBuffer,
    rules: Sequence[Criterion],
    holds: Int64[np.ndarray, " literal"],
    examples: int,
    pairs: int,
) -> str:
    """Message for an exceeded budget, with a stricter criterion that would fit all `pairs`."""
    sizes = [2 * sum(int(chunk.under(number).sum()) for chunk in buffer.chunks) for number in range(len(rules))]
    rule = rules[int(np.argmax(sizes))]
    share = buffer.judged / max(pairs, 1)
    summary = (
        f"more than mining.max_edges = {buffer.budget:,} implications hold: {len(buffer):,} after {share:.0%} of the "
        "pairs of nodes"
    )
    name, stricter = rule.to_dict().get("name", "this criterion"), rule
    for _ in range(STEPS):
        step = getattr(stricter, "stricter", None)
        if step is None:
            break
        stricter = step()
        size = 0
        for chunk in buffer.chunks:
            margins = holds[chunk.antecedents], holds[chunk.consequents ^ 1]
            size += 2 * int(stricter.holds(chunk.exceptions, *margins, examples).sum())
        if size <= buffer.budget * share:
            changed = {key: value for key, value in stricter.to_dict().items() if value != rule.to_dict().get(key)}
            words = " ".join(f"criterion.{key}={value:.6g}" for key, value in changed.items())
            about = f"{size / share:,.0f}" + (" if the other pairs are like these" if share < 1 else "")
            return f"{summary}; {words} leaves about {about}; or raise the budget, or pair fewer layers"
    return f"{summary}; use a criterion stricter than {name}, raise the budget, or pair fewer layers (mining.pairs)"
