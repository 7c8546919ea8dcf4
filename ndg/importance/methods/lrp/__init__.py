"""Layer-wise relevance propagation: the rules of each function, the pass under them, the scores."""

from __future__ import annotations

from ndg.importance.methods.lrp.relevance import METHOD, lrp

__all__ = ["METHOD", "lrp"]
