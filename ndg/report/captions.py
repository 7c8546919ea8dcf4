"""Texts of a picture: title, column captions, omissions, provenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ndg.graph import hyperedges
from ndg.graph.ndg import CLASS_NAMES, NDG
from ndg.graph.rules import criterion
from ndg.literal import NEGATION
from ndg.nodes import LABEL, NodeSpace
from ndg.report.selection import MIRROR_RULE, OVERVIEW_RULE, TARGET_RULE, Selection

if TYPE_CHECKING:
    import networkx as nx

LONG = 14
"""Length above which a layer's name is shortened to its last distinctive parts."""
LISTED = 6
"""Number of literals listed before the rest is counted."""
BEFORE, MIDDLE, AFTER = 0, 1, 2
"""Position of a column relative to the middle of the picture."""


class Names:
    """Display names of literals: `¬` for negation, short layer names, class names."""

    def __init__(self, nodes: NodeSpace, class_names: Sequence[str] = ()) -> None:
        self.classes = {f"{LABEL}:{i}": name for i, name in enumerate(class_names) if name != str(i)}
        self.layers = short_layers([layer.name for layer in nodes.layers])

    def __call__(self, literal: str) -> str:
        """Display name of a literal such as "~encoder.fc1:7"."""
        name = literal.removeprefix("~")
        layer, _, unit = name.rpartition(":")
        shown = f"{self.layers.get(layer, layer)}:{unit}"
        if name in self.classes:
            shown += f" {self.classes[name]}"
        return NEGATION * literal.startswith("~") + shown

    def all(self, literals: Sequence[str]) -> str:
        """The first few literals and the number of the others."""
        shown = ", ".join(map(self, literals[:LISTED]))
        more = len(literals) - LISTED
        return f"{shown} and {more:,} more" if more > 0 else shown


def short_layers(layers: Sequence[str]) -> dict[str, str]:
    """Short, distinct names of layers: the name itself or its last parts."""
    short = {}
    for layer in layers:
        parts = layer.split(".")
        tails = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        others = [f".{other}" for other in layers if other != layer]
        unique = [tail for tail in tails if not any(other.endswith(f".{tail}") for other in others)]
        short[layer] = layer if len(layer) <= LONG or not unique else unique[0]
    return short


def subtitle(graph: NDG, dag: nx.DiGraph) -> str:
    """Examples, criterion and size of the graph.

    A graph of votes and conjunctions alone has no criterion, one of votes alone no examples.
    """
    joined = f"{_noun(dag)}, joined by {dag.number_of_edges():,} edges" if _grouped(dag) else _noun(dag)
    more = hyperedges.size(graph.conjunctions, graph.votes)
    examples = f"{graph.examples:,} examples · "
    if more and not len(graph.implications):
        return f"{examples if graph.examples else ''}{len(dag):,} {joined}{more}"
    size = f"{len(graph.implications):,} implications"
    return f"{examples}{criterion(graph.criterion)} · {size} between {len(dag):,} {joined}{more}"


def title(aim: str | None, causal: bool) -> str:
    """Title of a picture.

    Conjunctions and votes lead to a literal, implications imply it.
    """
    if causal:
        return f"What leads to {aim}, and what {aim} leads to" if aim else "Causal graph"
    return f"What implies {aim}, and what {aim} implies" if aim else "Neuron dependency graph"


def caption(layer: str, side: int, aim: str | None, labels: bool) -> str:
    """Caption of one column; `labels` says whether labels form the middle."""
    if side == MIDDLE:
        return "target" if aim else "predicted class"
    if not aim and not labels:
        return layer
    if side == BEFORE:
        return f"{layer} · implies {aim}" if aim else f"{layer} · antecedents"
    return f"{layer} · implied by {aim}" if aim else f"{layer} · implied by a class"


def left_out(graph: NDG, dag: nx.DiGraph, chosen: Selection, names: Names, aim: str | None, max_nodes: int) -> str:
    """Counts of what is shown and left out, with the rules."""
    noun = _noun(dag)
    parts = []
    if chosen.mirrored:
        parts.append(f"{chosen.mirrored:,} mirror images ({MIRROR_RULE})")
    if chosen.implied:
        parts.append(f"{chosen.implied:,} implications that follow from a path of drawn or mirrored ones")
    if chosen.outside and aim:
        parts.append(f"{chosen.outside:,} implications outside of what is drawn")
    if chosen.unrelated:
        parts.append(f"{chosen.unrelated:,} {noun} that neither imply {aim} nor follow from it")
    if chosen.isolated:
        labels = [key for key in chosen.isolated if key.startswith(f"{LABEL}:")]
        among = f", among them {names.all(labels)}" if labels else ""
        none = "implication, conjunction or vote" if graph.conjunctions or graph.votes else "implication"
        parts.append(f"{len(chosen.isolated):,} literals in no {none}{among}")
    if graph.constants:
        parts.append(f"constants: {names.all([graph.nodes.text(literal) for literal in graph.constants])}")
    if graph.contradictory:
        members = [graph.nodes.text(literal) for component in graph.contradictory for literal in component]
        count = len(graph.contradictory)
        parts.append(
            f"{count:,} contradictory component{'s' * (count > 1)}, in which a literal and its negation imply each "
            f"other: {names.all(members)}"
        )
    if chosen.faint:
        drawn = len(chosen.edges)
        parts.append(f"{chosen.faint:,} edges of lowest precision beyond the {drawn:,} that a picture may hold")
    if chosen.beyond:
        beyond = f"{chosen.beyond:,} {noun} beyond the {max_nodes:,} that a picture may hold"
        parts.append(f"{beyond} ({TARGET_RULE if aim else OVERVIEW_RULE})")
    edges = f" and {len(chosen.edges):,} of {dag.number_of_edges():,} {'edges' if _grouped(dag) else 'implications'}"
    causal = bool(graph.conjunctions or graph.votes)
    shown = (
        f"Shown: {len(chosen.nodes):,} of {len(dag):,} {noun}{edges if dag.number_of_edges() or not causal else ''}."
    )
    return f"{shown} Left out: {'; '.join(parts)}." if parts else f"{shown} Nothing is left out."


def provenance(graph: NDG) -> str:
    """One line about the origin of the graph."""
    facts = {"graph": graph.digest, **flat(graph.provenance)}
    facts.pop(CLASS_NAMES, None)
    return " · ".join(f"{key} {str(value)[:60]}" for key, value in facts.items() if value not in (None, ""))


def flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves of nested facts by dotted key, lists joined."""
    leaves: dict[str, Any] = {}
    for key, value in facts.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = _spoken(value) if _several(value) else value
    return leaves


def _several(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str)


def _spoken(value: Any) -> str:
    """Text of a list, or of named values such as the bounds of a filter."""
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {_spoken(part)}" for key, part in value.items())
    return ", ".join(map(_spoken, value)) if _several(value) else str(value)


def _grouped(dag: nx.DiGraph) -> bool:
    return any(size > 1 for _, size in dag.nodes(data="size"))


def _noun(dag: nx.DiGraph) -> str:
    return "classes of equivalent literals" if _grouped(dag) else "literals"
