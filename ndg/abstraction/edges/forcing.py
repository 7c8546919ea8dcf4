"""Sets of literals that are forced for each antecedent of a layer.

An antecedent is forced alone, or with its closure within the layer. The `rest` of that closure is a control: where it
does as well, the antecedent adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64

from ndg.errors import ConfigError, nearest
from ndg.graph.ndg import NDG
from ndg.graph.verdicts import FORCED, kinds

HOW = ("alone", "closure")
REST = "rest"
AT_ONCE = 1024  # closures that are taken together

Edges = Int64[np.ndarray, " edge"]


@dataclass(frozen=True, eq=False)
class Forcings:
    """Distinct sets of literals that are forced in a layer.

    `antecedents` are codes of literals; antecedent k has the edges `starts[k]` to `starts[k + 1] - 1`, with their
    `consequents`. `used[h, k]` is the set forced for it in way h. Equal sets are forced once.
    """

    layer: str
    antecedents: Int64[np.ndarray, " antecedent"]
    starts: Int64[np.ndarray, " start"]
    consequents: Edges
    chosen: Bool[np.ndarray, "set unit"]
    booleans: Bool[np.ndarray, "set unit"]
    used: Int64[np.ndarray, "how antecedent"]

    @cached_property
    def users(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Way and number of the antecedents that use each set."""
        users: list[list[tuple[int, int]]] = [[] for _ in self.chosen]
        for way, row in enumerate(self.used):
            for number, index in enumerate(row.tolist()):
                users[index].append((way, number))
        return tuple(map(tuple, users))

    @property
    def sizes(self) -> Int64[np.ndarray, "how antecedent"]:
        """Number of neurons that are set."""
        return self.chosen.sum(axis=1)[self.used]


def forcings(graph: NDG, order: Sequence[str], how: Sequence[str]) -> tuple[Forcings, ...]:
    """Sets forced in each layer, with edges in the graph's order.

    ConfigError for an unknown way.
    """
    for way in how:
        if way not in (*HOW, REST):
            raise ConfigError(
                f"an antecedent is forced {' or '.join(HOW)}, and as a control the {REST} of its closure; got "
                f"how={way!r}; {nearest(way, (*HOW, REST))}"
            )
    if not how or len(set(how)) < len(how):
        raise ConfigError(f"edges are tried in one way or more, each once: {', '.join(HOW)}; got {tuple(how)}")
    implications, results = graph.implications, []
    edges = np.flatnonzero(kinds(implications, order) == FORCED)
    tails = implications.antecedents[edges].astype(np.int64)
    for layer, where in sorted(((name, graph.nodes.slice(name)) for name in order), key=lambda layer: layer[1].start):
        own = (tails >= 2 * where.start) & (tails < 2 * where.stop)
        if own.any():
            antecedents, first = np.unique(tails[own], return_index=True)
            sets = np.stack([_forced(graph, antecedents, where, way) for way in how])
            distinct, used = np.unique(sets.reshape(-1, sets.shape[-1]), axis=0, return_inverse=True)
            off, on = distinct[:, 0::2], distinct[:, 1::2]
            results.append(
                Forcings(
                    layer,
                    antecedents,
                    np.append(first, own.sum()),
                    implications.consequents[edges[own]].astype(np.int64),
                    off | on,
                    on,
                    used.reshape(len(how), -1).astype(np.int64),
                )
            )
    return tuple(results)


def _forced(
    graph: NDG, antecedents: Int64[np.ndarray, " antecedent"], where: slice, how: str
) -> Bool[np.ndarray, "antecedent literal"]:
    """Forced literals of a layer for each antecedent, in one way."""
    inside = slice(2 * where.start, 2 * where.stop)
    forced = np.zeros((len(antecedents), inside.stop - inside.start), np.bool_)
    each = np.arange(len(antecedents))
    if how != "alone":
        for start in range(0, len(antecedents), AT_ONCE):
            part = antecedents[start : start + AT_ONCE]
            marked = np.zeros((len(part), 2 * len(graph.nodes)), np.bool_)
            marked[np.arange(len(part)), part] = True
            forced[start : start + AT_ONCE] = graph.closures(marked)[:, inside]
        both = np.repeat(forced[:, 0::2] & forced[:, 1::2], 2, axis=1)
        forced &= ~both
    forced[each, (antecedents ^ 1) - inside.start] = False
    forced[each, antecedents - inside.start] = how != REST
    return forced
