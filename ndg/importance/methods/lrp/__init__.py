"""Layer-wise relevance propagation: rules, the pass under them, scores."""

from __future__ import annotations

from ndg.importance.methods.lrp.relevance import METHOD, lrp

__all__ = ["METHOD", "lrp"]
