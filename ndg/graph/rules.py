"""Graph in words: constants, equivalences, then a sentence per rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ndg.errors import check_list
from ndg.escape import one_line, printable
from ndg.graph.closure import Reachability
from ndg.graph.edges import contrapositives, mined, mutual, strongest
from ndg.literal import Literal
from ndg.mining.implications import Implications
from ndg.nodes import NodeSpace


def class_text(number: int, names: Sequence[str] = ()) -> str:
    """Class in words: "class 3", or "class 3 (cat)" if it has a name."""
    name = one_line(names[number]) if names else ""
    return f"class {number}" + (f" ({name})" if name not in ("", str(number)) else "")


def phrase(nodes: NodeSpace, literal: Literal, names: Sequence[str] = ()) -> str:
    """Literal in words: "class 3 is predicted", "latent:7 is off"."""
    if nodes.is_label(literal.node):
        return f"{class_text(nodes.unit(literal.node), names)} is {'' if literal.value else 'not '}predicted"
    if nodes.is_concept(literal.node):
        return f'"{nodes.concepts[nodes.unit(literal.node)]}" {"holds" if literal.value else "does not hold"}'
    return f"{nodes.name(literal.node)} is {'on' if literal.value else 'off'}"


def rules(
    implications: Implications,
    reach: Reachability,
    limit: int | None = None,
    reduced: bool = True,
    class_names: Sequence[str] = (),
) -> str:
    """Sentences, the surest first.

    `reduced` leaves out rules that follow from others.

    `limit` applies to constants, equivalences and rules separately. Of a rule and its contrapositive one is shown: the
    one that concludes a prediction, else starts from one, else has more nodes that are on.
    """
    check_list(class_names, "class_names")
    nodes, condensation = implications.nodes, reach.condensation
    say = partial(phrase, nodes, names=class_names)
    lines = [header(implications)]
    lines += _limited([f"always: {say(literal)}" for literal in implications.constants], limit, "constants")
    shown_classes = [members for members in condensation.classes(contradictory=False) if members[0].value]
    equivalences = [" if and only if ".join(map(say, members)) for members in shown_classes]
    lines += _limited(equivalences, limit, "classes of equivalent literals")
    contradictions = []
    for members in condensation.classes(contradictory=True):
        names = ", ".join(dict.fromkeys(nodes.name(literal.node) for literal in members))
        contradictions.append(f"contradictory, left out: {names} (each both on and off)")
    lines += _limited(contradictions, limit, "contradictory components")

    chosen = _chosen(implications, reach, reduced)
    counts = mined(implications)
    order = np.lexsort((implications.consequents[chosen], implications.antecedents[chosen], -counts.support[chosen]))
    chosen = chosen[order][np.argsort(-np.nan_to_num(counts.precision[chosen][order], nan=-1.0), kind="stable")]
    shown = chosen if limit is None else chosen[:limit]
    for edge in shown.tolist():
        antecedent = Literal.of(int(implications.antecedents[edge]))
        consequent = Literal.of(int(implications.consequents[edge]))
        exceptions = int(counts.exceptions[edge])
        figures = (
            f"precision {counts.precision[edge]:.4f}, recall {counts.recall[edge]:.4f}, "
            f"{exceptions:,} exception{'' if exceptions == 1 else 's'} in {int(counts.antecedent[edge]):,}"
        )
        lines.append(
            f"if {say(antecedent)} then {say(consequent)}  ({figures if implications.examples else 'counts unknown'})"
        )
    if len(shown) < len(chosen):
        lines.append(f"and {len(chosen) - len(shown):,} more")
    return printable("\n".join(lines))


def _limited(lines: list[str], limit: int | None, what: str) -> list[str]:
    """First lines, and how many more there are."""
    if limit is None or len(lines) <= limit:
        return lines
    return [*lines[:limit], f"and {len(lines) - limit:,} more {what}"]


def header(implications: Implications) -> str:
    """One line with the size and origin of the graph."""
    nodes = implications.nodes
    among = f"{nodes.labels:,} labels and {nodes.neurons:,} neurons"
    if nodes.concepts:
        among = f"{nodes.labels:,} labels, {nodes.neurons:,} neurons and {len(nodes.concepts):,} concepts"
    return (
        f"{len(implications):,} implications among {among} over {implications.examples:,} examples "
        f"({criterion(implications.criterion)}); each also holds as its contrapositive"
    )


def criterion(facts: Mapping[str, Any]) -> str:
    """Name and parameters of a criterion: "paper criterion, alpha 20"."""
    texts = {key: f"{value:g}" if isinstance(value, float) else value for key, value in facts.items()}
    name = texts.pop("name", "unnamed")
    return ", ".join([f"{name} criterion", *(f"{key} {text}" for key, text in texts.items())])


def _chosen(implications: Implications, reach: Reachability, reduced: bool) -> np.ndarray:
    if reduced:
        edges = strongest(implications, reach.condensation)[reach.essential]
    else:
        edges = np.flatnonzero(~mutual(implications))
    mirrored = contrapositives(implications)[edges]
    plainer = _plainness(implications, edges) >= _plainness(implications, mirrored)
    return np.unique(np.where(plainer, edges, mirrored))


def _plainness(implications: Implications, edges: np.ndarray) -> np.ndarray:
    """Rank of readability; ties go to the lower antecedent."""
    labels, size = implications.nodes.labels, 2 * len(implications.nodes)
    tails, heads = implications.antecedents[edges].astype(np.int64), implications.consequents[edges].astype(np.int64)
    concludes = (heads >> 1 < labels) & (heads & 1 == 1)
    starts = (tails >> 1 < labels) & (tails & 1 == 1)
    return ((concludes * 2 + starts) * 3 + (heads & 1) + (tails & 1)) * size - tails
