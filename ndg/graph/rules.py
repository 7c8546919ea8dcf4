"""The graph in words: constants, equivalences, then one sentence for each pair of rules."""

from __future__ import annotations

import numpy as np

from ndg.graph.condensation import Condensation
from ndg.graph.edges import contrapositives, mined, mutual, strongest
from ndg.literal import Literal
from ndg.mining.implications import Implications
from ndg.nodes import NodeSpace


def phrase(nodes: NodeSpace, literal: Literal) -> str:
    """A literal in words: "class 3 is predicted", "latent:7 is off", "has wings" holds."""
    if nodes.is_label(literal.node):
        return f"class {nodes.unit(literal.node)} is {'' if literal.value else 'not '}predicted"
    if nodes.is_concept(literal.node):
        return f'"{nodes.concepts[nodes.unit(literal.node)]}" {"holds" if literal.value else "does not hold"}'
    return f"{nodes.name(literal.node)} is {'on' if literal.value else 'off'}"


def rules(
    implications: Implications,
    condensation: Condensation,
    essential: np.ndarray,
    classes: tuple[tuple[Literal, ...], ...],
    contradictory: tuple[tuple[Literal, ...], ...],
    limit: int | None = None,
    reduced: bool = True,
) -> str:
    """Sentences, the surest first; `reduced` leaves out what follows from the others.

    A `limit` holds for constants, for equivalences and for rules, each.

    Of a rule and its contrapositive one is told: the one that concludes a prediction, else starts from one, else speaks
    of more nodes that are on. Of two mirrored classes the one whose first member is on is told.
    """
    nodes = implications.nodes
    lines = [header(implications)]
    lines += _some([f"always: {phrase(nodes, literal)}" for literal in implications.constants], limit, "constants")
    equal = [members for members in classes if members[0].value]
    equivalences = [" if and only if ".join(phrase(nodes, literal) for literal in members) for members in equal]
    lines += _some(equivalences, limit, "classes of equivalent literals")
    named = [", ".join(dict.fromkeys(nodes.name(literal.node) for literal in members)) for members in contradictory]
    opposed = [f"contradictory, left out: {names} (each both on and off)" for names in named]
    lines += _some(opposed, limit, "contradictory components")

    told = _told(implications, condensation, essential, reduced)
    counts = mined(implications)
    order = np.lexsort((implications.consequents[told], implications.antecedents[told], -counts.support[told]))
    told = told[order][np.argsort(-np.nan_to_num(counts.precision[told][order], nan=-1.0), kind="stable")]
    shown = told if limit is None else told[:limit]
    for edge in shown.tolist():
        antecedent, consequent = (
            Literal.of(int(codes[edge])) for codes in (implications.antecedents, implications.consequents)
        )
        exceptions = int(counts.exceptions[edge])
        figures = (
            f"precision {counts.precision[edge]:.4f}, recall {counts.recall[edge]:.4f}, "
            f"{exceptions:,} exception{'' if exceptions == 1 else 's'} in {int(counts.antecedent[edge]):,}"
        )
        lines.append(
            f"if {phrase(nodes, antecedent)} then {phrase(nodes, consequent)}  "
            f"({figures if implications.examples else 'counts unknown'})"
        )
    if len(shown) < len(told):
        lines.append(f"and {len(told) - len(shown):,} more")
    return "\n".join(lines)


def _some(lines: list[str], limit: int | None, what: str) -> list[str]:
    """The first lines, and how many more there are."""
    if limit is None or len(lines) <= limit:
        return lines
    return [*lines[:limit], f"and {len(lines) - limit:,} more {what}"]


def header(implications: Implications) -> str:
    """One line: how large the graph is and where it comes from."""
    nodes = implications.nodes
    facts = {key: value for key, value in implications.criterion.items() if key != "name"}
    criterion = f"{implications.criterion.get('name', 'unnamed')} criterion" + "".join(
        f", {key} {value:g}" if isinstance(value, float) else f", {key} {value}" for key, value in facts.items()
    )
    among = f"{nodes.labels:,} labels and {nodes.neurons:,} neurons"
    if nodes.concepts:
        among = f"{nodes.labels:,} labels, {nodes.neurons:,} neurons and {len(nodes.concepts):,} concepts"
    return (
        f"{len(implications):,} implications among {among} "
        f"over {implications.examples:,} examples ({criterion}); each also holds as its contrapositive"
    )


def _told(implications: Implications, condensation: Condensation, essential: np.ndarray, reduced: bool) -> np.ndarray:
    if reduced:
        chosen = strongest(implications, condensation)[essential]
    else:
        chosen = np.flatnonzero(~mutual(implications))
    mirrored = contrapositives(implications)
    best = np.where(
        _plainness(implications, chosen) >= _plainness(implications, mirrored[chosen]), chosen, mirrored[chosen]
    )
    return np.unique(best)


def _plainness(implications: Implications, edges: np.ndarray) -> np.ndarray:
    """A rank of how plainly a rule reads; ties between a rule and its contrapositive fall to the lower antecedent."""
    labels, size = implications.nodes.labels, 2 * len(implications.nodes)
    tails, heads = implications.antecedents[edges].astype(np.int64), implications.consequents[edges].astype(np.int64)
    concludes = (heads >> 1 < labels) & (heads & 1 == 1)
    starts = (tails >> 1 < labels) & (tails & 1 == 1)
    return ((concludes * 2 + starts) * 3 + (heads & 1) + (tails & 1)) * size - tails
