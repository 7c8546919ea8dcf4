"""What a graph predicts of an interchange, with sets of literal codes and loops. Slow by intent."""

from __future__ import annotations

from tests.references.graph import Edges, closure


def unfolded(literals: int, edges: Edges, forced: set[int], base: set[int], given: set[int]) -> set[int]:
    """C': what follows from the forced literals and from the base's literals of `given` nodes that these leave."""
    first = closure(literals, edges, forced)
    left = {code for code in base if code >> 1 in given and code ^ 1 not in first}
    return closure(literals, edges, first | left)


def value(node: int, found: set[int]) -> int:
    """1 on, 0 off, -1 undecided."""
    on, off = 2 * node + 1 in found, 2 * node in found
    return -1 if on == off else int(on)


def label(labels: int, found: set[int]) -> int:
    """The one label that is on, -1 when the set does not decide."""
    on = [label for label in range(labels) if 2 * label + 1 in found]
    both = [label for label in on if 2 * label in found]
    return on[0] if len(on) == 1 and not both else -1


def predicted(
    literals: int,
    labels: int,
    edges: Edges,
    units: set[int],
    source: list[bool],
    base: list[bool],
) -> int:
    """The label that the graph says of an interchange of these nodes, -1 when it does not decide.

    `source` and `base` are the values of all nodes; of `source` those of the units alone are read.
    """
    forced = {2 * node + int(source[node]) for node in units}
    given = set(range(labels, len(base)))
    literals_of_base = {2 * node + int(on) for node, on in enumerate(base)}
    return label(labels, unfolded(literals, edges, forced, literals_of_base, given))
