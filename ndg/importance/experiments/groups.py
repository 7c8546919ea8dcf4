"""Groups of units that are neutralised together: by score, or random."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ndg import seeds
from ndg.errors import ConfigError, ShapeError
from ndg.importance.scores import Scores
from ndg.results import Result, Row

SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5)
SCOPES = ("layer", "each", "all")
ORDERS = ("top", "bottom")
RANDOM = "random"
EVERY = "all"
"""Layer name of a group over several layers."""

Chosen = Mapping[str, Bool[np.ndarray, " _"]]


@dataclass(frozen=True, eq=False)
class Group:
    """`units` of `of` units, chosen by `method` and order.

    `layer` may be "all".
    """

    method: str
    layer: str
    order: str
    share: float | int
    units: int
    of: int
    chosen: Chosen
    draw: int | None = None

    @property
    def place(self) -> tuple[str, float | int]:
        """Key shared by a group and its control."""
        return self.layer, self.share


class GroupRows(Result):
    """Figures of the whole network (point 0), each group and random groups."""

    groups: tuple[Group, ...]

    @abstractmethod
    def figures(self, point: int) -> Row:
        """Columns of one point."""

    @abstractmethod
    def control(self, point: int, random: list[int]) -> Row:
        """Columns of the random groups for a point."""

    def largest(self) -> tuple[float, list[Row]]:
        """The largest share of units, and the rows of its groups."""
        points = self.rows()[1:]
        largest = max((row["share"] for row in points), default=0.0)
        return largest, [row for row in points if row["share"] == largest]

    def rows_of(self, *names: str) -> list[Row]:
        """The whole network, then each group by score."""
        whole = {"method": "none", "share": 0.0, "units": 0}
        rows = [{name: whole.get(name) for name in names} | self.figures(0)]
        for point, group in enumerate(self.groups, 1):
            if group.method != RANDOM:
                places = ((number, other) for number, other in enumerate(self.groups, 1) if other.method == RANDOM)
                random = [number for number, other in places if other.place == group.place]
                rows.append({name: getattr(group, name) for name in names} | self.figures(point))
                rows[-1] |= self.control(point, random)
        return rows


def groups(
    scores: Mapping[str, Scores],
    shares: Sequence[float | int] = SHARES,
    orders: Sequence[str] = ORDERS,
    scope: str = "all",
    draws: int = 0,
    seed: int = 0,
) -> list[Group]:
    """Groups by score and order, with random groups.

    Scope `layer` takes a share of one layer at a time, `each` the same share of every layer at once, `all` a share of
    all units, ranked together. Units are ranked by the size of their score, ties by the seed. Raises ConfigError for an
    unknown scope or order, or a share outside (0, 1]; ShapeError for scores of other units.
    """
    if scope not in SCOPES or any(order not in ORDERS for order in orders):
        raise ConfigError(
            f"groups are of scope {', '.join(SCOPES)} and of order {', '.join(ORDERS)}; got {scope!r} and "
            f"{list(orders)}"
        )
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ConfigError(f"shares of units lie above 0 and are at most 1; got {list(shares)}")
    if draws < 0:
        raise ConfigError(f"random groups are drawn 0 or more times; got {draws}")
    sizes = common_sizes(scores)
    result = []
    for method, score in scores.items():
        size = {layer: np.abs(score[layer]) for layer in sizes}
        for order in orders:
            sign = -1 if order == "top" else 1
            keys = {layer: sign * values for layer, values in size.items()}
            result += _groups(method, order, keys, shares, scope, seeds.generator(seed, "ties"))
    for draw in range(draws):
        generator = seeds.generator(seed, "random units", draw)
        keys = {layer: generator.random(count) for layer, count in sizes.items()}
        drawn = _groups(RANDOM, RANDOM, keys, shares, scope, generator)
        result += [replace(group, draw=draw) for group in drawn]
    return result


def common_sizes(scores: Mapping[str, Scores]) -> dict[str, int]:
    """Number of units of each layer, equal in all scores."""
    known = {method: {layer: len(values[layer]) for layer in values.layers} for method, values in scores.items()}
    sizes = next(iter(known.values()), {})
    other = next((method for method, units in known.items() if units != sizes), None)
    if not sizes or other is not None:
        different = {method: units for method, units in known.items() if method in (next(iter(known)), other)}
        raise ShapeError(
            f"scores that are compared are of the same units; got {different or 'none'}; score the same layers"
        )
    if RANDOM in known:
        raise ConfigError(f"{RANDOM!r} names the control; name a score otherwise")
    return sizes


def over_draws(values: Iterable[float | int]) -> tuple[float, float, float] | None:
    """Mean over draws with its 95 % Student interval, if any."""
    from scipy.stats import t

    known = np.array(list(values), dtype=np.float64)
    if not len(known):
        return None
    mean = float(known.mean())
    if len(known) == 1:
        return mean, -math.inf, math.inf
    half = float(t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
    return mean, mean - half, mean + half


def rate_over_draws(name: str, rates: Sequence[float], ends: str | None = None) -> dict[str, float | None]:
    """Columns of a mean rate over draws and its interval."""
    mean, low, high = over_draws(rates) or (None, 0.0, 0.0)
    bounds = (max(low, 0.0), min(high, 1.0)) if len(rates) > 1 else (None, None)
    return {name: mean, **dict(zip((f"{ends or name}_low", f"{ends or name}_high"), bounds, strict=True))}


def _groups(
    method: str,
    order: str,
    keys: Mapping[str, Float64[np.ndarray, " _"]],
    shares: Sequence[float | int],
    scope: str,
    generator: np.random.Generator,
) -> list[Group]:
    """Groups with the smallest keys."""
    places = {layer: _order(values, generator) for layer, values in keys.items()}
    ends = np.cumsum([len(values) for values in keys.values()])
    joined = _order(np.concatenate(list(keys.values())), generator) if scope == "all" else None
    groups = []
    for share in shares:
        if joined is None:
            chosen = {layer: marked(place, _count(share, len(place))) for layer, place in places.items()}
        else:
            chosen = dict(zip(keys, np.split(marked(joined, _count(share, len(joined))), ends[:-1]), strict=True))
        if scope == "layer":
            parts = [(layer, {layer: units}) for layer, units in chosen.items()]
        else:
            parts = [(EVERY, chosen)]
        for layer, marks in parts:
            count, total = sum(int(units.sum()) for units in marks.values()), sum(map(len, marks.values()))
            groups.append(Group(method, layer, order, share, count, total, marks))
    return groups


def _order(keys: Float64[np.ndarray, " unit"], generator: np.random.Generator) -> Int64[np.ndarray, " unit"]:
    """Units sorted by key, ties in random order."""
    return np.lexsort((generator.random(len(keys)), keys)).astype(np.int64)


def marked(order: Int64[np.ndarray, " unit"], count: int) -> Bool[np.ndarray, " unit"]:
    """Marks of the first units of an order."""
    chosen = np.zeros(len(order), np.bool_)
    chosen[order[:count]] = True
    return chosen


def _count(share: float | int, units: int) -> int:
    return max(1, math.floor(share * units + 0.5))
