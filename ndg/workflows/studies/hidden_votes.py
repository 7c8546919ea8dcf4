"""Votes of the layer behind the one on trial, for its causal graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ndg.bits.matrix import BitMatrix
from ndg.causal.regression import fit
from ndg.causal.voting import strongest
from ndg.graph.votes import Votes
from ndg.intervals import wilson
from ndg.nodes import LABEL
from ndg.results import Row

PER_LABEL, L1 = 12, 1e-3
"""Votes of each label, and the weight of their absolute sum in the fit."""


@dataclass(frozen=True)
class HiddenVotes:
    """Votes of a hidden layer and their accuracy on held-out hybrids.

    `right` and `plain` are of `n` hybrids; the second of as many votes that were fitted to plain examples.
    """

    votes: Votes
    right: int
    plain: int
    n: int

    def words(self) -> str:
        low, high = wilson(self.right, self.n)
        return (
            f"{self.votes.edges:,} votes of {self.votes.layer}, at most {PER_LABEL} for each label, give the network's "
            f"label on {self.right / self.n:.3f} of {self.n:,} held-out hybrids (95 % interval {low:.3f} to "
            f"{high:.3f}); as many votes of plain examples on {self.plain / self.n:.3f}."
        )

    def to_dict(self) -> Row:
        return {"edges": self.votes.edges, "right": self.right, "plain": self.plain, "n": self.n}


def hidden_votes(hybrids: BitMatrix, held_out: BitMatrix, plain: BitMatrix, layer: str) -> HiddenVotes:
    """Votes of a later layer of hybrids, tried on hybrids of held-out examples."""
    votes, control = (_fitted(bits, layer) for bits in (hybrids, plain))
    label = held_out.to_bool(LABEL).argmax(axis=1)
    right, plain_right = (int((each.predict(held_out) == label).sum()) for each in (votes, control))
    return HiddenVotes(votes, right, plain_right, len(label))


def _fitted(bits: BitMatrix, layer: str) -> Votes:
    """Votes of the units whose rates differ most for examples with a label.

    A hidden layer may have hundreds of units: fitting all of them takes minutes.
    """
    on, label = bits.to_bool(layer), bits.to_bool(LABEL)
    both = label.T.astype(np.float64) @ on
    independent = np.outer(label.sum(axis=0), on.mean(axis=0))
    kept = strongest(both - independent, PER_LABEL)
    units = kept.any(axis=0)
    signs = np.where(on[:, units], 1.0, -1.0)
    weights = np.zeros(kept.shape)
    weights[:, units], bias = fit(signs, label.argmax(axis=1), len(kept), L1, kept[:, units])
    return Votes(layer, weights, bias, len(label), network=bits.network)
