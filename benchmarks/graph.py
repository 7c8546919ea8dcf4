"""The logic of a graph against networkx, and the seconds it takes at 20,000 literals and 1,000,000 implications.

    python -m benchmarks.graph [--json FILE] [--quick]

Both sides get the same graph, and their results are compared before they are timed. `nx.descendants` of every literal
gives sets of texts; our closure marks literals in an array, and makes a set of them when asked for it.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from benchmarks.frame import Figure, Figures, Part, WrongResultError, parser, run
from benchmarks.timing import median_seconds
from ndg.graph.closure import reach
from ndg.graph.ndg import NDG
from ndg.literal import Literal
from ndg.mining.implications import Implications
from ndg.nodes import LayerUnits, NodeSpace

EXAMPLES = 65536


def random_graph(nodes: int, edges: int, seed: int = 0) -> NDG:
    """About so many implications over 2 `nodes` literals, which lie in a random order that all implications follow.

    A literal lies as far from the end as its negation from the beginning, so that the graph is skew-symmetric; the
    further on, the more often it holds.
    """
    rng, literals = np.random.default_rng(seed), 2 * nodes
    place = np.empty(literals, np.int64)
    place[1::2] = rng.permutation(nodes) + np.where(rng.random(nodes) < 0.5, nodes, 0)
    place[1::2] = np.where(place[1::2] >= nodes, place[1::2], nodes - 1 - place[1::2])
    place[0::2] = literals - 1 - place[1::2]
    at = np.argsort(place)
    keys = np.zeros(0, np.int64)
    while len(keys) < edges:
        ends = np.sort(rng.integers(0, literals, (max((edges - len(keys)) // 2, 1), 2)), axis=1)
        p, q = at[ends[:, 0]], at[ends[:, 1]]
        p, q = p[p >> 1 != q >> 1], q[p >> 1 != q >> 1]
        keys = np.unique(np.concatenate([keys, p * literals + q, (q ^ 1) * literals + (p ^ 1)]))
    p, q = keys // literals, keys % literals
    on = (place[1::2] + 1) * EXAMPLES // (literals + 1)
    few = np.minimum(keys, (q ^ 1) * literals + (p ^ 1)) % 50
    holds = np.stack([EXAMPLES - on, on], axis=1).reshape(-1)
    return NDG(
        Implications(
            nodes=NodeSpace(0, (LayerUnits("x", nodes),)),
            antecedents=p.astype(np.int32),
            consequents=q.astype(np.int32),
            exceptions=np.maximum(np.minimum(few, np.minimum(holds[p], holds[q ^ 1])), holds[p] - holds[q]),
            on=on,
            with_label=np.zeros((0, nodes), np.int64),
            examples=EXAMPLES,
            constants=(),
            criterion={"name": "given"},
            thresholds=np.zeros(nodes),
            binarizer="given",
            bits_digest="0" * 16,
            tests=2 * nodes * (nodes - 1),
        )
    )


def peers(nodes: int = 2_000, edges: int = 100_000) -> Figures:
    """Closure and reduction of a graph of `nodes` literals, against networkx."""
    graph = random_graph(nodes // 2, edges)
    condensation, whole = graph.condensation, nx.DiGraph(graph.to_networkx())
    literals = [Literal.of(code) for code in range(nodes)]
    keys = [graph.key(literal) for literal in literals]

    def closures() -> list[Any]:
        fresh = NDG(graph.implications)  # knows neither components nor reduction yet
        return [fresh.closure(literal) for literal in literals]

    def sets() -> list[Any]:
        return [closed.literals for closed in closures()]

    def descendants() -> list[set[str]]:
        return [nx.descendants(whole, key) for key in keys]

    def reduction() -> np.ndarray:
        return reach(condensation).essential

    for literal, closed, found in zip(literals, closures(), descendants(), strict=True):
        if {graph.nodes.text(one) for one in closed if one != literal} != found:
            raise WrongResultError(f"the two ways disagree on what follows from {graph.nodes.text(literal)}")
    reduced = nx.transitive_reduction(whole)
    if set(graph.reduction()) != set(reduced.edges):
        raise WrongResultError("the two ways disagree on the transitive reduction")

    closing = median_seconds({"ours": closures, "sets": sets, "networkx": descendants}, rounds=3)
    reducing = median_seconds({"ours": reduction, "networkx": lambda: nx.transitive_reduction(whole)}, rounds=3)
    what = f"{nodes:,} literals, {len(graph):,} implications"
    return {
        "closure_vs_networkx": (
            closing["networkx"] / closing["ours"],
            f"times as fast as nx.descendants of every literal, components and reduction included; {what}",
        ),
        "closure_sets_vs_networkx": (
            closing["networkx"] / closing["sets"],
            f"the same where each closure is also spelt out as a set of Literal objects; {what}",
        ),
        "reduction_vs_networkx": (
            reducing["networkx"] / reducing["ours"],
            f"times as fast as nx.transitive_reduction of the condensed graph; {what}",
        ),
    }


def scale(nodes: int = 10_000, edges: int = 1_000_000) -> Iterator[Figure]:
    """Seconds of each step once, on a graph of 2 `nodes` literals."""
    graph = random_graph(nodes, edges)
    what = f"{2 * nodes:,} literals, {len(graph):,} implications"

    def measure(name: str, does: str, call: Callable[[], Any]) -> Figure:
        started = time.perf_counter()
        call()
        return f"seconds_{name}", time.perf_counter() - started, f"{does}; {what}"

    some = [Literal.of(code) for code in range(0, 2 * nodes, max(nodes // 50, 1))]
    each = f"of each of {len(some)} literals"
    yield measure("components", "strongly connected components and their order", lambda: graph.condensation)
    yield measure("reduction", "transitive reduction", lambda: reach(graph.condensation))
    graph.closure(some[0])
    yield measure("closure", f"closure {each}", lambda: [graph.closure(literal) for literal in some])
    yield measure("ancestors", f"ancestors {each}", lambda: [graph.ancestors(literal) for literal in some])
    yield measure("stats", "all figures", graph.stats)
    yield measure("edges_frame", "the edge table", graph.edges_frame)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph"
        yield measure("save", "writing the whole graph", lambda: graph.save(path))
        yield measure("load", "reading it", lambda: NDG.load(path))
        for form in ("json", "graphml", "gexf", "dot", "csv"):
            key, seconds, _ = measure(form, "", partial(getattr(graph, f"to_{form}"), path))
            yield key, seconds, f"streaming {path.stat().st_size / 1e6:,.0f} MB of {form}; {what}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    yield "peak_bytes_graph", float(peak), "of this process, all of the above included"


def parts(quick: bool = False) -> dict[str, Part]:
    """The parts of this benchmark."""
    if quick:
        return {"graph peers": partial(peers, 200, 2_000), "graph scale": partial(scale, 200, 5_000)}
    return {"graph peers": peers, "graph scale": scale}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__).parse_args(arguments)
    return run(parts(options.quick), options)


if __name__ == "__main__":
    raise SystemExit(main())
