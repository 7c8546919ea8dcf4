"""Mining a graph from booleans in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ndg.bits.matrix import BitMatrix
from ndg.graph.ndg import NDG
from ndg.mining.miner import find


def mine(
    bits: BitMatrix,
    criterion: str = "paper",
    alpha: float | int = 20.0,
    confidence: float | int = 0.95,
    support: int = 10,
    provenance: Mapping[str, Any] | None = None,
) -> NDG:
    """The graph of the implications in `bits` that hold under a criterion.

    `paper` (Hu & Tian 2022) reads `alpha`: at most one exception for every `alpha` expected under independence.
    `confidence` reads `confidence` and `support`. `provenance` is plain JSON that travels with the graph.
    """
    found = find(bits, criterion, alpha=float(alpha), confidence=float(confidence), support=int(support))
    return NDG(found, dict(provenance or {}))
