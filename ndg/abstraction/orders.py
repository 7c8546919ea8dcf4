"""Orders of setting neurons, for the alignment curve.

- `graph`: the neurons of D(t, t'), the most specific first: those whose literal is rarest outside the class that asks
  for it;
- `prototype_surest`, `prototype_contrast`, `prototype_log_odds`, `prototype_random`: the order of these controls, for
  any number of neurons;
- any order that is handed in, such as one by importance, sets the class prototype as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int, Int64

from ndg import seeds
from ndg.abstraction.controls import GRAPH, OF_SIZE, PROTOTYPE_RANDOM, Prototypes
from ndg.errors import ConfigError, ShapeError
from ndg.graph.ndg import NDG
from ndg.interventions.intervention_sets import Choices
from ndg.interventions.subsets import Bits, Indices, places
from ndg.nodes import LABEL

STEPS = 16
"""Sizes of the curve beside 0, at most."""

Settings = tuple[Int64[np.ndarray, "example unit"], Bits]
"""The place of each unit in the order (the layer's size: never set), and the boolean that it is set to."""


@dataclass(frozen=True, eq=False)
class Orders:
    """Orders of units for the alternative classes.

    `sizes` are numbers of neurons; `specific[value, c, u]` is P(class c predicted | unit u has that value) on the
    fitting examples; `ranked[name][c, u]` is the position of unit u in an order for class c.
    """

    sizes: tuple[int, ...]
    specific: Float64[np.ndarray, "2 label unit"]
    ranked: dict[str, Int64[np.ndarray, "label unit"]]

    @classmethod
    def of(cls, graph: NDG, layer: str, orders: Mapping[str, Int[np.ndarray, "..."]]) -> Orders:
        """Orders of a layer, and custom ones.

        ConfigError or ShapeError for bad lists.
        """
        where = graph.nodes.slice(layer)
        units = where.stop - where.start
        ranked = {name: _ranked(name, order, graph.nodes.labels, units) for name, order in orders.items()}
        return cls(sizes(units), specificity(graph, layer), ranked)

    @property
    def names(self) -> tuple[str, ...]:
        return (GRAPH, *OF_SIZE, PROTOTYPE_RANDOM, *self.ranked)

    def settings(
        self, choice: Choices, prototypes: Prototypes, seed: int, examples: Indices, true: Indices, other: Indices
    ) -> dict[str, Settings]:
        """Ranks and booleans of the units in each order."""
        units = prototypes.values.shape[1]
        random = seeds.words(seed, "prototype neurons", examples=examples, draws=units)
        majority = prototypes.values[other]
        orders = {name: prototypes.orders[order] for name, order in OF_SIZE.items()}
        return {
            GRAPH: self._graph(choice, true, other),
            **{name: (order.place[other], order.values[other]) for name, order in orders.items()},
            PROTOTYPE_RANDOM: (places(random), majority),
            **{name: (order[other], majority) for name, order in self.ranked.items()},
        }

    def _graph(self, choice: Choices, true: Indices, other: Indices) -> Settings:
        mask, values, _ = choice.of(true, other)
        off, on = self.specific
        by_set = [
            np.where(choice.toward_on[other], on[other], -1),
            np.where(choice.toward_off[other], off[other], -1),
            np.where(choice.against_on[true], on[true], -1),
            np.where(choice.against_off[true], off[true], -1),
        ]
        specific = np.max(by_set, axis=0)
        return np.where(mask, places(np.where(mask, -specific, np.inf)), mask.shape[1]), values


def specificity(graph: NDG, layer: str) -> Float64[np.ndarray, "2 label unit"]:
    """P(class c predicted | unit u is off, on) on fitting examples.

    It is the recall of the implication from the class to the literal; 0 for a unit that never has this value.
    """
    counts = graph.implications
    units = graph.nodes.slice(layer)
    both, size = counts.with_label[:, units], counts.on[graph.nodes.slice(LABEL)][:, None]
    joint = np.stack([size - both, both]).astype(np.float64)
    seen = np.stack([counts.examples - counts.on[units], counts.on[units]])[:, None, :]
    return np.divide(joint, seen, out=np.zeros_like(joint), where=seen > 0)


def sizes(units: int) -> tuple[int, ...]:
    """Numbers of neurons on the curve, at most 17, widening."""
    if units <= STEPS:
        return tuple(range(units + 1))
    spread = np.unique(np.round(np.geomspace(1, units, STEPS)).astype(np.int64))
    return (0, *spread.tolist())


def _ranked(name: str, order: np.ndarray, labels: int, units: int) -> Int64[np.ndarray, "label unit"]:
    taken = (GRAPH, *OF_SIZE, PROTOTYPE_RANDOM)
    if name in taken:
        raise ConfigError(f"an order has a name of its own, none of {', '.join(taken)}; got {name!r}; rename it")
    order = np.asarray(order)
    if order.shape not in ((units,), (labels, units)) or not np.array_equal(
        np.sort(order, axis=-1), np.broadcast_to(np.arange(units), order.shape)
    ):
        raise ShapeError(
            f"an order lists the {units} units of the layer from the first to the last, each once, for all {labels} "
            f"classes or for each of them; {name!r} has the shape {order.shape}; give np.argsort of minus the scores"
        )
    return np.broadcast_to(np.argsort(order, axis=-1), (labels, units)).astype(np.int64)
