"""The graph as a causal model of every node after an interchange.

The graph gets the swapped units' booleans from the source, and from the base those that the interchange cannot reach.
It must conclude the downstream layers and labels, or leave them open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import nn

from ndg.abstraction.counts import Counts
from ndg.abstraction.interchange.families import spoken
from ndg.abstraction.interchange.run import InterchangeSettings, Loaders, prepare
from ndg.abstraction.interchange.study import CONTROLS, GRAPH, Study
from ndg.activations.batches import Batch
from ndg.errors import ConfigError, GraphError, nearest
from ndg.graph.ndg import NDG
from ndg.graph.scm import decided
from ndg.intervals import rate
from ndg.interventions.passes import node_values
from ndg.nodes import LABEL, NodeSpace
from ndg.options import RunOptions, old_keywords
from ndg.results import Result, Row, plain
from ndg.run_study import run_batches

FIELDS = ("all", "decided", "agree", "base", "base_decided", "moved", "moved_decided", "moved_agree")
"""Counted of pairs at a node: `agree`, the unfolded graph is right about the intervened network; `base`, the base's own
value is; `moved`, it is not."""


@old_keywords(settings=InterchangeSettings, options=RunOptions)
def unfolding(
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any] | None,
    layers: str | Iterable[str],
    *,
    base: Iterable[Any] | None = None,
    source: Iterable[Any] | None = None,
    settings: InterchangeSettings = InterchangeSettings(),
    options: RunOptions = RunOptions(),
) -> UnfoldingResult:
    """Agreement of graph and network on nodes behind `layers`; see `ndg.interchange`."""
    settings = replace(settings, layers=[layers] if isinstance(layers, str) else list(layers))
    loaders = Loaders.of(loader, base, source)
    study = prepare(Unfolding, model, graph, loaders, settings, options, None)
    run = run_batches(study, loaders.bases, "unfolding", options)
    return UnfoldingResult(
        counts=run.total,
        nodes=study.passes.nodes,
        families=tuple(family.name for family in study.families),
        layers=study.passes.changed,
        split=settings.split,
        seed=options.seed,
        graph=graph.digest,
        executor=run.executor,
        reason=run.reason,
    )


@dataclass(frozen=True, eq=False)
class Unfolding(Study):
    """Study of interchanges that compares every node behind."""

    def run(self, batch: Batch) -> Counts:
        """Counts `[field, node]` of one batch, by family and control."""
        pairs = self.pairs(batch)
        order, nodes = pairs.known.order, self.passes.nodes
        first = min(order[layer] for layer in self.passes.changed)
        behind = [layer for layer in self.passes.thresholds if order[layer] > first]
        before, compared = np.zeros((2, len(self.graph.nodes)), np.bool_)
        for layer in self.passes.thresholds:
            before[nodes.slice(layer)] = order[layer] <= first
        for layer in [LABEL, *behind]:
            compared[nodes.slice(layer)] = True
        if not compared.any():
            raise GraphError(
                "an unfolding is compared at nodes behind the swapped layers; the graph has none; mine more"
            )
        counts: dict[str, np.ndarray] = {}
        for swapped in self.swaps(pairs, behind):
            bits = {layer: swapped.bits[layer] for layer in behind}
            after = node_values(self.graph.nodes, swapped.label, bits, pairs.base)
            among = compared & swapped.there[:, None]
            among[:, self.units] &= ~swapped.chosen
            base = pairs.base == after
            for control, graph in self.graphs(swapped.control).items():
                says = decided(self.follows(graph, pairs, swapped.chosen, before))
                clear = says >= 0
                agree = clear & ((says == 1) == after)
                flags = (among, clear, agree, base, base & clear, ~base, ~base & clear, ~base & agree)
                sums = [(flag & among).sum(axis=0, dtype=np.int64) for flag in flags]
                counts[f"{swapped.family}|{control}"] = np.stack(sums)
        return Counts(counts)


@dataclass(frozen=True)
class UnfoldingResult(Result):
    """Counts `[field, node]` for each family of sets and control.

    See `FIELDS`.
    """

    counts: Counts
    nodes: NodeSpace
    families: tuple[str, ...]
    layers: tuple[str, ...]
    split: str = field(compare=False)
    seed: int
    graph: str
    executor: str = field(compare=False)
    reason: str = field(compare=False)

    def row(self, family: str, name: str, control: str = GRAPH) -> Row:
        """Rates of a node such as `latent:3`, a layer or the labels.

        A layer counts every pair once for each node, and its intervals treat these as independent. `base` is the
        predictor "the base's value" where the graph decides, `base_all` on all pairs; `moved` is the agreement where
        the network's value is no longer the base's. None without pairs.
        """
        key = f"{family}|{control}"
        if key not in self.counts:
            raise ConfigError(f"this unfolding did not count {key!r}; {nearest(key, self.counts.by_name)}")
        groups = dict(self.nodes.groups)
        where = groups[name] if name in groups else slice(at := self.nodes.index(name), at + 1)
        got = dict(zip(FIELDS, self.counts[key][:, where].sum(axis=1).tolist(), strict=True))
        return {
            "set": family,
            "control": control,
            "node": name,
            "layers": " + ".join(self.layers),
            "split": self.split,
            "all": got["all"],
            "decided": got["decided"],
            **rate("coverage", got["decided"], got["all"]),
            **rate("agree", got["agree"], got["decided"]),
            **rate("base", got["base_decided"], got["decided"]),
            **rate("base_all", got["base"], got["all"]),
            "n_moved": got["moved"],
            "n_moved_decided": got["moved_decided"],
            **rate("moved", got["moved_agree"], got["moved_decided"]),
        }

    def rows(self, by: str = "node") -> list[Row]:
        """One row per family, control and node (or layer) behind."""
        if by not in ("node", "layer"):
            raise ConfigError(f"an unfolding is told by node or by layer; got {by!r}")
        compared = np.logical_or.reduce([counts[0] > 0 for counts in self.counts.by_name.values()])
        groups = [name for name, where in self.nodes.groups if compared[where].any()]
        names = groups if by == "layer" else [self.nodes.name(int(node)) for node in np.flatnonzero(compared)]
        keys = [(family, control) for family in self.families for control in CONTROLS]
        return [
            self.row(family, name, control)
            for family, control in keys
            if f"{family}|{control}" in self.counts
            for name in names
        ]

    def to_dict(self) -> dict[str, Any]:
        """Counts and settings as plain JSON values."""
        return {
            "counts": self.counts.to_dict(),
            "fields": list(FIELDS),
            "nodes": self.nodes.to_dict(),
            **plain(self, "families", "layers", "split", "seed", "graph", "executor", "reason"),
        }

    def words(self) -> str:
        """Agreement against the base's values, by family and layer."""
        return "\n".join(_verdict(row) for row in self.rows("layer") if row["control"] == GRAPH)


def _verdict(row: Row) -> str:
    what = f"{spoken(row['set'])}, {'labels' if row['node'] == LABEL else row['node']}"
    if not row["all"]:
        return f"{what}: no pair has such a set."
    if not row["decided"]:
        return f"{what}: the graph decides none of {row['all']} values (undecided)."
    agreement = (
        f"{what}: the graph decides {row['decided']} of {row['all']} values and agrees on {row['agree']:.3f} "
        f"[{row['agree_low']:.3f}, {row['agree_high']:.3f}], the base's values on {row['base']:.3f}"
    )
    if row["moved"] is None:
        return f"{agreement}; of {row['n_moved']} values that moved it decides none."
    return f"{agreement}; of the {row['n_moved_decided']} decided that moved it is right on {row['moved']:.3f}."
