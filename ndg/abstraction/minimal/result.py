"""Results of the search for minimal interventions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ndg import seeds
from ndg.abstraction.counts import Counts
from ndg.abstraction.minimal.study import METHODS, SEARCHED, STAGES, WITHIN
from ndg.abstraction.verdict import KEPT
from ndg.intervals import rate
from ndg.results import Result, Row, plain

RESAMPLES = 2_000
"""Bootstrap resamples behind an interval."""

COMPARED = ("graph", "graph_greedy", "specific", "greedy", "prototype")
"""The methods that must all succeed on an example, so that their sizes are compared on it."""

AGAINST = ("graph", "greedy")
OTHERS = {
    "specific": "those of the same ranking without the graph's edges",
    "greedy": "those of greedy order",
    "prototype": "those of prototype order",
}
"""What the graph's order is compared with in words."""

ROWS = (*((method, stage) for stage in STAGES for method in METHODS), WITHIN, SEARCHED)

Sizes = Int64[np.ndarray, " example"]


@dataclass(frozen=True, eq=False)
class MinimalResult(Result):
    """Minimal interventions on `counts["kept"]` examples.

    Arrays of `counts` have one entry for each of `numbers`, the examples drawn among the correctly predicted ones. A
    size is the number of units whose boolean is flipped, 0 for no success. To draw the examples, the predictions of
    `looked` of `examples` examples were computed; `correct` of them were right.

    >>> result = ndg.minimal(net, graph, data, fit=data, settings=ndg.MinimalSettings(examples=20))
    >>> result.frame().shape[0] > 1
    True
    """

    counts: Counts
    numbers: Int64[np.ndarray, " example"]
    examples: int
    looked: int
    correct: int
    layer: str
    units: int
    intervention: str
    written: str
    fitted: int
    budget: int
    split: str
    seed: int
    graph: str
    executor: str
    reason: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MinimalResult) and self._figures() == other._figures()

    def __hash__(self) -> int:
        return hash((self.counts, self.graph, self.layer))

    def _figures(self) -> tuple[Any, ...]:
        settings = (self.layer, self.intervention, self.written, self.budget, self.seed, self.graph)
        return self.counts, self.numbers.tobytes(), settings

    @property
    def kept(self) -> Bool[np.ndarray, " example"]:
        """Examples on trial: correct also after binarising the layer."""
        return self.counts["kept"].astype(np.bool_)

    def sizes(self, method: str = SEARCHED[0], stage: str = SEARCHED[1]) -> Sizes:
        """Size of each example's set, 0 for no success."""
        return self._array(f"{method} {stage}")[self.kept]

    def exact(self, stage: str = "searched") -> Bool[np.ndarray, " example"]:
        """Whether all smaller sets were tried, of all units or `within` candidates."""
        return self._array(f"{stage} exact")[self.kept].astype(np.bool_)

    def _array(self, name: str) -> Sizes:
        return self.counts[name] if name in self.counts else np.zeros(len(self.numbers), np.int64)

    @cached_property
    def common(self) -> Bool[np.ndarray, " example"]:
        """Whether all methods but the random order succeed."""
        return np.logical_and.reduce([self.sizes(method, STAGES[0]) > 0 for method in COMPARED])

    @cached_property
    def _rows(self) -> list[Row]:
        return [self._row(method, stage) for method, stage in ROWS]

    def _row(self, method: str, stage: str) -> Row:
        size = self.sizes(method, stage)
        success = size > 0
        both = self.common & success
        mine, alone = size[both], (method, stage) in (WITHIN, SEARCHED)
        tried = self._array(f"{method} {stage} tried")[self.kept][both]
        row = {
            "method": method,
            "stage": stage,
            **rate("success", int(success.sum()), len(size)),
            "n": len(size),
            "compared": int(both.sum()),
            **_interval("median", mine, np.median, self.seed),
            "mean": float(mine.mean()) if len(mine) else None,
            "tried": float(tried.mean()) if len(tried) and not alone else None,
            "exact": int((self.exact(stage) & success).sum()) if alone else None,
        }
        for other in AGAINST:
            theirs = self.sizes(other, STAGES[1] if alone else stage)[both]
            same = other == method and not alone
            row |= _interval(f"more_than_{other}", (mine - theirs)[: 0 if same else None], np.mean, self.seed)
            row[f"larger_than_{other}"] = None if same else int((mine > theirs).sum())
            row[f"smaller_than_{other}"] = None if same else int((mine < theirs).sum())
        return row

    def rows(self) -> list[Row]:
        """One row per method and stage.

        Methods: `graph`, the graph's candidates ranked by the counts of classes and booleans; `graph_greedy`, the same
        greedily; without the graph's edges `specific`, that ranking of all units that differ from the prototype of t',
        `greedy` among all units, `prototype`, its surest units that differ, and `random`; `any` is whichever found the
        smallest.

        Stages: `prefix` (the first units of an order that do it), `eliminated` (without those that can be dropped); a
        smallest set `within` the graph's candidates, and a `searched` one of all units. The last two go as far as the
        budget does: `exact` of them are known to be smallest.

        Success, with its Wilson interval, is over the `n` examples on trial; sizes are over the `compared` examples on
        which all methods but `random` succeed. `tried` is the mean number of sets tried. `more_than_graph` and
        `more_than_greedy` are mean paired differences to these methods' sizes at the same stage (of the searches to the
        eliminated ones). Intervals of sizes are 95 % bootstrap intervals over examples. Null where nothing is compared.
        """
        head = {"split": self.split, "layer": self.layer, "intervention": self.intervention}
        return [head | row for row in self._rows]

    def sets(self) -> list[Row]:
        """One row per example with its smallest set, if any."""
        if "set" not in self.counts:
            return []
        kept = self.kept
        chosen = _unpacked(self.counts["set"][kept], self.units)
        values = _unpacked(self.counts["values"][kept], self.units)
        columns = (self.numbers[kept], self.counts["true"][kept], self.counts["target"][kept], self.exact())
        return [
            {
                "example": int(number),
                "true": int(true),
                "target": int(target),
                "units": {int(unit): bool(values[row, unit]) for unit in np.flatnonzero(chosen[row])},
                "exact": bool(exact),
            }
            for row, (number, true, target, exact) in enumerate(zip(*columns, strict=True))
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `sizes` counts sets of 0, 1, 2, ... units."""
        return {
            "rows": self._rows,
            "sizes": {f"{method} {stage}": np.bincount(self.sizes(method, stage)).tolist() for method, stage in ROWS},
            "drawn": len(self.numbers),
            "kept": int(self.kept.sum()),
            "compared": int(self.common.sum()),
            **plain(self, "examples", "looked", "correct"),
            "words": self.words(),
            **plain(self, "layer", "units", "intervention"),
            "values": self.written,
            **plain(self, "fitted", "budget", "split", "seed", "graph", "executor"),
            "executor_reason": self.reason,
        }

    def words(self) -> str:
        """Sizes of minimal interventions, of the graph and of controls."""
        where = f"minimal interventions on {self.layer}" + (f", {self.split}" if self.split else "")
        trial, compared = int(self.kept.sum()), int(self.common.sum())
        if not trial:
            return f"{where}: no example is predicted correctly before and after binarising, so nothing was on trial."
        rows = {(row["method"], row["stage"]): row for row in self._rows}
        if not compared:
            rates = ", ".join(f"{name} {rows[name, STAGES[1]]['success']:.3f}" for name in COMPARED)
            return (
                f"{where}: the methods succeed together on none of {trial} examples (success: "
                f"{rates}), so their sizes are not compared."
            )
        others = "; ".join(_against(rows[name, STAGES[1]], "graph", those) for name, those in OTHERS.items())
        own, picked, every = (rows[name, STAGES[1]] for name in ("graph", "graph_greedy", "greedy"))
        return (
            f"{where}: on the {compared} of {trial} examples on which all succeed, the graph's order with elimination "
            f"sets {_size(own)} of {self.units} units, median, after {own['tried']:.0f} trials; {others}. Greedy among "
            f"the graph's literals alone it is {_size(picked)} after {picked['tried']:.0f} trials against "
            f"{every['tried']:.0f} among all units: {_against(picked, 'greedy', 'these', turned=True)}. "
            f"{self._known(rows)} {self._survival()}"
        )

    def _survival(self) -> str:
        """Share of the drawn examples on trial, with a caution below `KEPT`."""
        kept, drawn = int(self.kept.sum()), len(self.numbers)
        words = f"Of {drawn} correct predictions {kept} survive binarising alone"
        if kept >= KEPT * drawn:
            return f"{words}."
        return f"{words}, fewer than {KEPT:g}: no verdict on the network, which binarising changes; try another layer."

    def _known(self, rows: dict[tuple[str, str], Row]) -> str:
        parts = []
        for name, among in ((WITHIN, "of the graph's literals"), (SEARCHED, "of all units")):
            count = int((self.sizes(*name) > 0).sum())
            parts.append(f"{among} {_size(rows[name])} ({rows[name]['exact']} of {count} known to be smallest)")
        return f"The smallest sets that were found: {', '.join(parts)}."


def _against(row: Row, base: str, those: str, turned: bool = False) -> str:
    """Number of smaller sets of each side of a comparison."""
    gap, low, high = (row[f"more_than_{base}{end}"] for end in ("", "_low", "_high"))
    smaller, larger = (high < 0, low > 0) if turned else (low > 0, high < 0)
    verdict = "smaller than" if smaller else "larger than" if larger else "neither smaller nor larger than"
    more = f"{gap:+.2f} [{low:+.2f}, {high:+.2f}] units more per example"
    return f"they are {verdict} {those} ({more if turned else f'{_size(row)}; {more}'})"


def _size(row: Row) -> str:
    return f"{row['median']:g} [{row['median_low']:g}, {row['median_high']:g}]"


def _interval(name: str, values: Sizes, statistic: Callable[..., Any], seed: int) -> Row:
    """Median or mean with its 95 % bootstrap interval."""
    names = (name, f"{name}_low", f"{name}_high")
    if not len(values):
        return dict.fromkeys(names)
    drawn = seeds.generator(seed, "minimal bootstrap").integers(0, len(values), (RESAMPLES, len(values)))
    taken: Float64[np.ndarray, " resample"] = statistic(values[drawn], axis=1)
    return dict(zip(names, map(float, (statistic(values), *np.quantile(taken, [0.025, 0.975]))), strict=True))


def _unpacked(packed: Int64[np.ndarray, "example byte"], units: int) -> Bool[np.ndarray, "example unit"]:
    bits = np.unpackbits(packed.astype(np.uint8), axis=1, count=units, bitorder="little")
    return bits.astype(np.bool_)
