"""Interchange accuracy of votes on held-out pairs, with controls (Geiger et al. 2021).

A base gets a number of units, drawn uniformly, from a source; the votes read the booleans of the hybrid and predict the
label that the network gives it. Counted are pairs whose base and source the network labels differently; `neither` are
those of them whose outcome is neither of these two labels. A high accuracy alone proves little, since a network with a
random rest reaches it with votes of its own: what counts is the lead over the controls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from torch import nn

from ndg import seeds
from ndg.bits.matrix import BitMatrix
from ndg.causal import control_votes
from ndg.causal.later import reinitialised_rest
from ndg.causal.recombination import INDEPENDENT, MIX, Hybrids, hybrids
from ndg.causal.voting import fitted_votes
from ndg.errors import ConfigError, DataError
from ndg.extraction import extract
from ndg.graph.ndg import NDG
from ndg.graph.votes import Votes
from ndg.options import RunOptions, plain_numbers
from ndg.plots import Plot, Series
from ndg.results import Result, Row, named
from ndg.run_study import placed

ROUNDS = 2000

FITTED, BITS = "votes", "rest run on the bits"
OWN_RANDOM, CROSSED = "re-initialised rest, votes of its own", "votes on a re-initialised rest"
PLAIN = ("constant base", "constant source", "prototype, Hamming", "prototype, naive Bayes", "votes of plain examples")
"""Rows that use no intervention, beside the mean gradient."""
GRADIENT, SHUFFLED = "mean-gradient votes", "units shuffled"
WITHOUT_INTERVENTION = (*PLAIN, GRADIENT)

Labels = Int64[np.ndarray, " pair"]
Flags = Bool[np.ndarray, " pair"]


@dataclass(frozen=True)
class AccuracySettings:
    """How many hybrids are made, and what is decided.

    fit        hybrids to which votes are fitted: 3/4 mixes, 1/4 independent
    pairs      held-out pairs
    coverage   share of the pairs that the abstaining votes decide
    l1         weight of the penalty of votes (see `votes`)
    edges      votes that are kept; None: all
    integers   whether weights are whole numbers from -3 to 3
    per_label  votes of each label that are kept; None: all

    Raises ConfigError for numbers outside their range.
    """

    fit: int = 20_000
    pairs: int = 10_000
    coverage: float = 0.8
    l1: float = 1e-4
    edges: int | None = None
    integers: bool = False
    per_label: int | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.fit < 4 or self.pairs < 1:
            raise ConfigError(
                f"votes are fitted to 4 hybrids at least, and tried on 1; got {self.fit} and {self.pairs}"
            )


@dataclass(frozen=True)
class AccuracyRow:
    """One predictor: its rate on all pairs and on those with neither label, with intervals.

    `lead` is the votes' lead.

    Rates are (right, of so many), intervals 95 % of a bootstrap over bases. `coverage` is the share of the pairs that
    are decided at the margin chosen on validation, `covered` the rate of these.
    """

    name: str
    right: tuple[int, int]
    interval: tuple[float, float]
    neither: tuple[int, int]
    neither_interval: tuple[float, float]
    lead: float | None
    lead_interval: tuple[float, float] | None
    coverage: float | None = None
    covered: float | None = None


COVERED = "coverage: share of the pairs that are decided"


def by_coverage(rows: Sequence[Row]) -> tuple[Series, ...]:
    """Series of each predictor: accuracy on all and on decided pairs.

    All pairs are coverage 1.
    """
    series = []
    for row in rows:
        points = [{"x": 1.0, "y": row["iia"], "low": row.get("low"), "high": row.get("high")}]
        if row.get("coverage") is not None:
            points.append({"x": row["coverage"], "y": row.get("covered"), "low": None, "high": None})
        series.append(Series.of(str(row["predictor"]), points, "x", "y", ("low", "high")))
    return tuple(series)


@dataclass(frozen=True, eq=False)
class InterchangeAccuracy(Result):
    """Interchange accuracy of votes and of their controls, on pairs that the network labels differently."""

    layer: str
    votes: Votes
    table: tuple[AccuracyRow, ...]

    def __getitem__(self, name: str) -> AccuracyRow:
        return named(self.table, name)

    def rows(self) -> list[Row]:
        return [
            {
                "predictor": row.name,
                "iia": row.right[0] / row.right[1] if row.right[1] else None,
                "low": row.interval[0],
                "high": row.interval[1],
                "n": row.right[1],
                "neither": row.neither[0] / row.neither[1] if row.neither[1] else None,
                "neither_low": row.neither_interval[0],
                "neither_high": row.neither_interval[1],
                "neither_n": row.neither[1],
                "lead": row.lead,
                "lead_low": None if row.lead_interval is None else row.lead_interval[0],
                "lead_high": None if row.lead_interval is None else row.lead_interval[1],
                "coverage": row.coverage,
                "covered": row.covered,
            }
            for row in self.table
        ]

    def context(self) -> Row:
        return {"layer": self.layer, "edges": self.votes.edges}

    def plotted(self) -> Plot:
        """Interchange accuracy against coverage: of all pairs, and of those that the abstaining votes decide."""
        return Plot(f"Interchange accuracy of {self.layer}", COVERED, "IIA", by_coverage(self.rows()), "points")

    @property
    def best_control(self) -> AccuracyRow:
        """The best row that uses no intervention."""
        return max((self[name] for name in WITHOUT_INTERVENTION), key=lambda row: row.right[0])

    def words(self) -> str:
        own, best = self[FITTED], self.best_control
        rate = own.right[0] / max(own.right[1], 1)
        assert best.lead is not None
        assert best.lead_interval is not None
        low, high = best.lead_interval
        return (
            f"{self.votes.edges:,} votes of {self.layer} predict the network's label in {rate:.3f} of {own.right[1]:,} "
            f"interchanges (95 % interval {own.interval[0]:.3f} to {own.interval[1]:.3f}); the best control without "
            f"interventions, {best.name}, in {best.right[0] / max(best.right[1], 1):.3f} (lead {best.lead:.3f}, "
            f"{low:.3f} to {high:.3f}), the rest of the network run on the bits in "
            f"{self[BITS].right[0] / max(self[BITS].right[1], 1):.3f}."
        )


def interchange_accuracy(
    model: nn.Module,
    fit: Iterable[Any],
    validation: Iterable[Any],
    test: Iterable[Any],
    layer: str,
    *,
    like: BitMatrix | NDG | None = None,
    settings: AccuracySettings = AccuracySettings(),
    options: RunOptions = RunOptions(),
) -> InterchangeAccuracy:
    """Fit votes on hybrids of `fit`, and judge them on pairs of `test`.

    Controls are judged beside them.

    The margin at which votes abstain is chosen on pairs of `validation`. Nothing is chosen on `test`. `like` gives
    thresholds, as in `recombine`. Raises DataError where no pair of `test` has different labels, and what `recombine`
    and `votes` raise.
    """
    model = placed(model, options)
    plain = (
        extract(model, fit, [layer], options=options)
        if like is None
        else extract(model, fit, like=like, options=options)
    )
    fitted = fitted_on_hybrids(model, fit, plain, layer, settings, options)
    held = held_pairs(model, test, plain, layer, settings, options)
    differ = held.base != held.source
    if not differ.any():
        raise DataError("an interchange needs a base and a source of different labels; no pair has; give more examples")
    tuned = held_pairs(model, validation, plain, layer, settings, options, hybrids_seed=1)
    careful = fitted.abstaining(_where(tuned.bits, tuned.base != tuned.source), settings.coverage)
    random = reinitialised_rest(model, fit, layer, options.seed)
    own = fitted_on_hybrids(random, fit, extract(random, fit, like=plain, options=options), layer, settings, options)
    on_random = held_pairs(random, test, plain, layer, settings, options)
    observed = fitted_votes([plain], layer, None, fitted.edges, settings.l1, settings.integers)
    others: dict[str, Labels] = {
        PLAIN[0]: held.base,
        PLAIN[1]: held.source,
        PLAIN[2]: control_votes.hamming(plain, layer).predict(held.bits),
        PLAIN[3]: control_votes.naive_bayes(plain, layer).predict(held.bits),
        PLAIN[4]: observed.predict(held.bits),
        GRADIENT: control_votes.mean_gradient(model, fit, plain, layer, options).predict(held.bits),
        SHUFFLED: control_votes.shuffled(fitted, options.seed).predict(held.bits),
        BITS: held_pairs(model, test, plain, layer, settings, options, written=fit).label,
    }
    boot = Bootstrap(held, options.seed)
    right = fitted.predict(held.bits) == held.label
    table = [boot.row(FITTED, right, None, careful.predict(held.bits))]
    table += [boot.row(name, said == held.label, right) for name, said in others.items()]
    other = Bootstrap(on_random, options.seed)
    table.append(other.row(OWN_RANDOM, own.predict(on_random.bits) == on_random.label, None))
    table.append(other.row(CROSSED, fitted.predict(on_random.bits) == on_random.label, None))
    return InterchangeAccuracy(layer, fitted, tuple(table))


def fitted_on_hybrids(
    model: nn.Module, fit: Iterable[Any], plain: BitMatrix, layer: str, settings: AccuracySettings, options: RunOptions
) -> Votes:
    independent = settings.fit // 4
    parts = [
        hybrids(model, fit, layer, mode, n, like=plain, options=options).bits
        for mode, n in ((MIX, settings.fit - independent), (INDEPENDENT, independent))
    ]
    return fitted_votes(parts, layer, settings.per_label, settings.edges, settings.l1, settings.integers)


def held_pairs(
    model: nn.Module,
    loader: Iterable[Any],
    plain: BitMatrix,
    layer: str,
    settings: AccuracySettings,
    options: RunOptions,
    *,
    written: Iterable[Any] | None = None,
    hybrids_seed: int = 0,
) -> Hybrids:
    own = replace(options, seed=seeds.integer(options.seed, "held-out pairs", hybrids_seed) % 2**32, journal=None)
    return hybrids(model, loader, layer, MIX, settings.pairs, like=plain, options=own, written=written)


def _where(bits: BitMatrix, rows: Flags) -> BitMatrix:
    return BitMatrix.from_bool(bits.to_bool()[rows], bits.nodes)


class Bootstrap:
    """Rates on the pairs that differ, with intervals over bases."""

    def __init__(self, held: Hybrids, seed: int) -> None:
        self._held, self._seed = held, seed
        self._differ = held.base != held.source
        self._neither = self._differ & (held.label != held.base) & (held.label != held.source)
        _, self._cluster = np.unique(held.number, return_inverse=True)
        self._weights: np.ndarray | None = None

    def row(self, name: str, right: Flags, own: Flags | None, careful: Labels | None = None) -> AccuracyRow:
        """The row of a predictor that is right on these pairs.

        `own` are those on which the votes are.
        """
        among, neither = self._differ, self._neither
        lead = None if own is None else float((own[among].astype(int) - right[among]).mean())
        decided = None if careful is None else among & (careful >= 0)
        covered = None if careful is None or decided is None or not decided.any() else careful == self._held.label
        return AccuracyRow(
            name,
            (int(right[among].sum()), int(among.sum())),
            self._interval(right.astype(np.float64), among),
            (int(right[neither].sum()), int(neither.sum())),
            self._interval(right.astype(np.float64), neither),
            lead,
            None if own is None else self._interval(own.astype(np.float64) - right, among),
            None if decided is None else float(decided.sum() / among.sum()),
            None if covered is None or decided is None else float(covered[decided].mean()),
        )

    def _interval(self, values: np.ndarray, among: Flags) -> tuple[float, float]:
        """Percentiles of the mean over bootstrapped bases."""
        clusters = int(self._cluster.max()) + 1
        if self._weights is None:
            generator = seeds.generator(self._seed, "bootstrap of bases")
            self._weights = generator.multinomial(clusters, np.full(clusters, 1 / clusters), size=ROUNDS)
        sums = np.bincount(self._cluster[among], values[among], clusters)
        sizes = np.bincount(self._cluster[among], minlength=clusters)
        drawn = self._weights @ sizes
        if not drawn.any():
            return 0.0, 1.0
        kept = drawn > 0
        low, high = np.percentile((self._weights[kept] @ sums) / drawn[kept], [2.5, 97.5])
        return float(low), float(high)
