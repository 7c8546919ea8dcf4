"""What a planted formula entails and how likely its assignments are, by trying all of them. Slow by intent."""

from __future__ import annotations

from itertools import product

from ndg.planted.mechanism import Mechanism

Assignment = tuple[bool, ...]


def holds(literal: int, assignment: Assignment) -> bool:
    return assignment[literal >> 1] == bool(literal & 1)


def satisfying(mechanism: Mechanism) -> list[Assignment]:
    """Every assignment without an exception to a planted implication."""
    planted = [(p.code, q.code) for p, q in mechanism.planted]
    everything = product((False, True), repeat=len(mechanism.nodes))
    return [one for one in everything if all(holds(q, one) for p, q in planted if holds(p, one))]


def entailed(mechanism: Mechanism) -> set[tuple[int, int]]:
    """Pairs of literals of different nodes such that the second holds in every satisfying assignment of the first."""
    assignments, literals = satisfying(mechanism), range(2 * len(mechanism.nodes))
    return {
        (p, q)
        for p in literals
        for q in literals
        if p >> 1 != q >> 1 and all(holds(q, one) for one in assignments if holds(p, one))
    }


def probabilities(mechanism: Mechanism) -> dict[Assignment, float]:
    """The probability of each assignment: nodes are decided in order, and what follows is settled at once."""
    planted = {(p.code, q.code) for p, q in mechanism.planted}
    planted |= {(q ^ 1, p ^ 1) for p, q in planted}
    found: dict[Assignment, float] = {}

    def decide(settled: frozenset[int], left: list[int], probability: float) -> None:
        while more := {q for p, q in planted if p in settled} - settled:
            settled = settled | more
        left = [node for node in left if not {2 * node, 2 * node + 1} & settled]
        if not left:
            one = tuple(2 * node + 1 in settled for node in range(len(mechanism.nodes)))
            found[one] = found.get(one, 0.0) + probability
            return
        node, rate = left[0], float(mechanism.rates[left[0]])
        decide(settled | {2 * node + 1}, left, probability * rate)
        decide(settled | {2 * node}, left, probability * (1 - rate))

    decide(frozenset(), mechanism.order.tolist(), 1.0)
    return found
