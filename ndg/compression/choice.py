"""Which units go: the least fit share, above a floor."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int64

from ndg.errors import ConfigError

LEAST = 2
"""Units that every layer keeps."""

Fitness = Float64[np.ndarray, " _"]
Units = Int64[np.ndarray, " _"]


def lowest(
    fitness: Mapping[str, Fitness], share: float, *, scope: str = "each", keep: Mapping[str, int] | None = None
) -> dict[str, Units]:
    """Numbers of the least fit units of each layer, in rising order.

    Layers that lose none are left out.

    With scope "each", every layer loses `share` of its units, rounded down. With "all", the units of all layers are
    ranked together. `keep` is the number of units that stay, by layer. Ties go to the unit with the lower number.
    """
    counts = {layer: part_of(share, len(values)) for layer, values in fitness.items()}
    total = part_of(share, sum(map(len, fitness.values())))
    return fewest(fitness, counts if scope == "each" else total, keep)


def fewest(
    fitness: Mapping[str, Fitness], counts: Mapping[str, int] | int, keep: Mapping[str, int] | None = None
) -> dict[str, Units]:
    """The same for numbers of units, of each layer or of all together."""
    spare = {layer: max(len(values) - (keep or {}).get(layer, LEAST), 0) for layer, values in fitness.items()}
    if isinstance(counts, int):
        counts = _counts(fitness, counts, spare)
    taken = {layer: min(counts[layer], spare[layer]) for layer in fitness}
    return {
        layer: np.sort(np.argsort(values, kind="stable")[: taken[layer]]).astype(np.int64)
        for layer, values in fitness.items()
        if taken[layer] > 0
    }


def part_of(share: float, units: int) -> int:
    """A share of a number of units, rounded down.

    0.3 of 10 is 3.
    """
    return math.floor(share * units + 1e-9)


def floors(units: Mapping[str, int], floor: float) -> dict[str, int]:
    """Number of units that each layer keeps, for a floor of shares.

    At least `LEAST`.
    """
    return {layer: max(LEAST, math.ceil(floor * count - 1e-9)) for layer, count in units.items()}


def check_share(units: Mapping[str, int], share: float, what: str, scope: str = "each") -> None:
    """Raise ConfigError if a share leaves a layer fewer than `LEAST` units, or takes none of any."""
    total = sum(units.values())
    spare = total - LEAST * len(units)
    if scope == "all" and part_of(share, total) > spare:
        raise ConfigError(
            f"every layer keeps at least {LEAST} units; {what}={share:g} takes {part_of(share, total)} of {total} "
            f"units, and {spare} can go; take at most {spare / total:.3g}"
        )
    for layer, count in units.items() if scope == "each" else ():
        left = count - part_of(share, count)
        if left < LEAST:
            raise ConfigError(
                f"every layer keeps at least {LEAST} units; {what}={share:g} leaves {left} of {count} in {layer!r}; "
                f"take at most {(count - LEAST) / count:.3g}, or name other layers"
            )
    largest = total if scope == "all" else max(units.values(), default=0)
    if not part_of(share, largest):
        raise ConfigError(
            f"a removal takes at least one unit; {what}={share:g} is less than one unit of {largest}; take at least "
            f"{1 / max(largest, 1):.3g}"
        )


def _counts(fitness: Mapping[str, Fitness], total: int, spare: Mapping[str, int]) -> dict[str, int]:
    """Units that each layer loses when all are ranked together."""
    counts = dict.fromkeys(fitness, 0)
    names = [layer for layer, values in fitness.items() for _ in values]
    joined = np.concatenate([np.zeros(0), *fitness.values()])
    for place in np.argsort(joined, kind="stable"):
        if total and counts[names[place]] < spare[names[place]]:
            counts[names[place]] += 1
            total -= 1
    return counts
