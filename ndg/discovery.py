"""Mining graphs from booleans in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from ndg import executors
from ndg.bits.matrix import BitMatrix, network_of
from ndg.compiled import torch_threads_restored
from ndg.errors import ConfigError, check_kind, nearest
from ndg.graph.ndg import NDG
from ndg.mining import miner
from ndg.mining.counters import Packed
from ndg.mining.criteria import CRITERIA, Sieve, settings
from ndg.mining.criteria import criterion as as_criterion
from ndg.mining.miner import Rule
from ndg.mining.pairs import Pairs
from ndg.nodes import NodeSpace
from ndg.options import RunOptions, old_keywords, plain_number

Bits = BitMatrix | Sequence[BitMatrix]
PROBE = 1024
"""Nodes of the tile that is counted to estimate the speed of counting."""


@old_keywords(options=RunOptions)
def mine(
    bits: Bits,
    criterion: Rule = "paper",
    *,
    pairs: Pairs = "all",
    max_edges: int | None = None,
    options: RunOptions = RunOptions(),
    provenance: Mapping[str, Any] | None = None,
    **parameters: Any,
) -> NDG:
    """Graph of the implications in `bits` that satisfy a criterion.

    `parameters` are those of the criterion. `paper` and `ratio` (Hu & Tian 2022) read `alpha`: at most one exception
    for every `alpha` expected under independence. `confidence` and `fisher` read `confidence` and `support`, `fisher`
    also `q`, `wilson` reads `bound`; any callable (exceptions, n(p), n(~q), n) -> booleans will do.

    `bits` may be several matrices over the same nodes; their counts add. `pairs` limits the layers that are paired:
    `all`, `between` (different layers), `within`, or pairs of layer names, `label` among them. `max_edges` (50 million)
    limits the implications. The executor is `serial` (all cores of this machine), `ray` (tiles of pairs on a cluster),
    or `auto` (Ray with an address); a GPU counts by integer matrix products. The implications are the same in each
    case. `provenance` is plain JSON that is stored with the graph; its `weights` are the network of the bits, if known.

    Raises BitsError without examples, ConfigError for an unknown name or a parameter out of range, BudgetError, naming
    a sufficient criterion, for more than `max_edges` implications.

    >>> graph = ndg.mine(bits, "confidence", confidence=0.95, support=10)
    >>> graph.criterion["name"]
    'confidence'
    """
    known = {name for rule in CRITERIA for name in settings(rule)}
    parameters = {name: plain_number(value) for name, value in parameters.items()}
    for name, value in parameters.items():
        if name not in known:
            raise ConfigError(f"no criterion has a parameter {name!r}; {nearest(name, known)}")
        if isinstance(value, bool) or not isinstance(value, float | int) or value != value:
            raise ConfigError(
                f"{name} of a criterion must be one number; got {value!r}; ndg.sweep takes several alphas"
            )
    if isinstance(criterion, str) and criterion in CRITERIA:
        for name in parameters.keys() - {"alpha", *settings(criterion)}:  # studies have an alpha by default
            readers = [rule for rule in CRITERIA if name in settings(rule)]
            raise ConfigError(
                f"the criterion {criterion!r} reads {', '.join(settings(criterion))}; got {name}={parameters[name]}; "
                f"pass criterion={readers[0]!r}, or leave {name} out"
            )
    rule = as_criterion(criterion, **parameters)
    return sweep(bits, [rule], pairs=pairs, max_edges=max_edges, options=options, provenance=provenance)[0]


@old_keywords(options=RunOptions)
def sweep(
    bits: Bits,
    criteria: Sequence[Rule | float | int],
    *,
    pairs: Pairs = "all",
    max_edges: int | None = None,
    options: RunOptions = RunOptions(),
    provenance: Mapping[str, Any] | None = None,
) -> list[NDG]:
    """One graph per criterion, from a single count of all pairs.

    Numbers are alphas of the paper's criterion, names are criteria with default parameters. Other arguments and errors
    are those of `mine`.

    >>> [len(graph) for graph in ndg.sweep(bits, [2, 5])] == [len(ndg.mine(bits, alpha=alpha)) for alpha in (2, 5)]
    True
    """
    if isinstance(criteria, np.ndarray) and criteria.ndim:
        criteria = criteria.tolist()
    if isinstance(criteria, str) or not isinstance(criteria, Sequence) or not criteria:
        raise ConfigError(f"a sweep needs a list of criteria or alphas, at least one; got {criteria!r}")
    criteria = [plain_number(rule) for rule in criteria]
    rules = [as_criterion("paper", alpha=r) if isinstance(r, float | int) else as_criterion(r) for r in criteria]
    check_kind(provenance, (Mapping, type(None)), "provenance is a dictionary of plain values", "leave it out for none")
    by, _ = executors.choose(options.executor, address=options.ray_address)
    parallel = None if by.name in ("serial", "threads") else by  # counting has threads of its own
    with by.session(), torch_threads_restored():
        results = miner.sweep(
            bits,
            rules,
            pairs=pairs,
            max_edges=max_edges,
            device=options.device or "cpu",
            total=parallel.total if parallel else None,
        )
    network = network_of([bits] if isinstance(bits, BitMatrix) else bits)
    known = {**(provenance or {}), **({"weights": network} if network else {})}
    return [NDG(implications, known) for implications in results]


def seconds_to_count(pairs: int, examples: int) -> float:
    """Estimated seconds to count pairs of nodes, from one counted tile.

    The `fisher` criterion takes two or three further passes over all pairs.
    """
    words = max(-(-examples // 64), 1)
    depth = min(words, PROBE)
    probe = np.random.default_rng(0).integers(0, 2**64, (PROBE, depth), dtype=np.uint64)
    counter = Packed.of([BitMatrix(NodeSpace(PROBE), probe, 64 * depth, np.zeros(0))])
    whole, varies, sieve = slice(0, PROBE), np.ones(PROBE, np.bool_), Sieve(product=1e-6, floor=1.0)
    counter.survivors(whole, whole, varies, sieve)
    started = perf_counter()
    counter.survivors(whole, whole, varies, sieve)
    return (perf_counter() - started) * pairs * words / (PROBE * (PROBE - 1) / 2 * depth)
