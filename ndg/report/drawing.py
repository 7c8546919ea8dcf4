"""Content of a picture of a graph, computed before it is rendered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ndg.errors import ConfigError, GraphError, check_kind, nearest
from ndg.graph.ndg import NDG
from ndg.importance.scores import Scores
from ndg.literal import NEGATION, Literal
from ndg.nodes import LABEL, class_number
from ndg.options import plain_number
from ndg.report import captions, selection
from ndg.report.captions import AFTER, BEFORE, MIDDLE, Names
from ndg.report.causal_drawing import CausalPart, Link, causal_part, fewer_isolated, implications_alone
from ndg.report.selection import Selection

if TYPE_CHECKING:
    import networkx as nx

PRECISIONS = (1.0, 0.99, 0.95)
"""Lower bounds of the precision classes of edges; one more class lies below the last."""
JOINT = "∧"
"""Sign of a conjunction."""
MEMBERS = 6
"""Number of members of an equivalence class listed in a node."""


MOST_EDGES = 4000
"""Edges of a picture; of more the most precise are drawn, and the picture says so."""
PRIOR = "prior"
"""Fill of nodes by the share of examples on which they hold."""


@dataclass(frozen=True)
class Style:
    """What else a picture shows.

    fill             score by which nodes are filled: a method of the graph's scores, or "prior"; the first by default
    verdict          way of forcing by which edges are drawn: "alone" or "closure"; by precision by default
    full             all edges instead of the transitive reduction
    hide_equivalent  one literal of each class of equivalent ones
    """

    fill: str | None = None
    verdict: str | None = None
    full: bool = False
    hide_equivalent: bool = False

    def __post_init__(self) -> None:
        for name in ("fill", "verdict"):
            check_kind(getattr(self, name), (str, type(None)), f"{name} is a name", "leave it out")
        for name in ("full", "hide_equivalent"):
            check_kind(getattr(self, name), bool, f"{name} is True or False", "leave it out for False")


@dataclass(frozen=True)
class Node:
    """One class of equivalent literals, with its `key` in `NDG.to_networkx()`.

    `lines` are the members shown, labels first; `more` counts the others. `value` is the truth value of the labels, or
    of the neurons in a class without labels; None when both occur. `scores` are those of largest absolute value, one
    per measure; `shade` is the first divided by the largest in the picture. `column` counts within the band. A `joint`
    is a conjunction, drawn as a small node, and described by this text.
    """

    key: str
    lines: tuple[str, ...]
    more: int
    label: bool
    value: bool | None
    band: int
    column: int
    prior: float | None
    scores: tuple[float | None, ...] = ()
    shade: float = 0.0
    target: bool = False
    joint: str = ""


@dataclass(frozen=True)
class Edge:
    """Strongest implication between two classes.

    `strength` is an index into PRECISIONS, `verdict` the one when it is forced.
    """

    tail: str
    head: str
    antecedent: str
    consequent: str
    precision: float | None
    recall: float | None
    support: int
    exceptions: int
    strength: int
    verdict: str = ""


@dataclass(frozen=True)
class Band:
    """Columns of one layer on one side of the middle."""

    layer: str
    side: int
    caption: str


@dataclass(frozen=True)
class Drawing:
    """A picture before rendering: content, omissions with their rules, provenance."""

    title: str
    subtitle: str
    bands: tuple[Band, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    selection: Selection
    left_out: str
    measures: tuple[str, ...]
    provenance: str
    links: tuple[Link, ...] = ()
    filled: str = ""
    verdict: str = ""

    @property
    def ends(self) -> list[tuple[str, str]]:
        """Tail and head of every edge."""
        edges: list[Edge | Link] = [*self.edges, *self.links]
        return [(edge.tail, edge.head) for edge in edges]


def draw(
    graph: NDG,
    *,
    scores: Scores | Sequence[Scores] | Mapping[int, float] | None = None,
    target: int | str | Literal | None = None,
    max_nodes: int = 300,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
    style: Style = Style(),
) -> Drawing:
    """Drawing of an NDG: an overview, or the part around `target`.

    `target` is a class, by number or name, or a literal such as "~latent:3". `scores` are `Scores`, several of them, or
    numbers by node index (default: those of the graph); the first also shade the nodes. `class_names` (default: those
    of the graph) stand beside the class numbers. The labels (or the target) form the middle, their antecedents and
    unrelated literals stand on the left, their consequents on the right; on both sides layers follow the order of the
    network.

    `style` has further choices.

    Raises GraphError for a target outside the graph, ConfigError for `max_nodes` below 1, ShapeError unless there is
    one class name per class.
    """
    max_nodes = plain_number(max_nodes)
    if type(max_nodes) is not int or max_nodes < 1:
        raise ConfigError(f"max_nodes must be a whole number, at least 1; got {max_nodes!r}; leave it out for 300")
    if title is not None:
        check_kind(title, str, "a title is text", "leave it out for none")
    if class_names is not None:
        graph = graph.with_class_names(class_names)
    names = Names(graph.nodes, graph.class_names)
    whole = graph.to_networkx(flat=False)
    dag = implications_alone(whole)
    home = None if target is None else home_of(graph, dag, target)
    if home is None:
        chosen = selection.overview(dag, max_nodes, style.full)
    else:
        chosen = selection.around(dag, home, max_nodes, style.full)
    chosen = selection.fewer_edges(chosen, dag, MOST_EDGES)
    causal = causal_part(whole, home, max_nodes, names)
    kept = {*chosen.nodes, *causal.classes}
    chosen = fewer_isolated(replace(chosen, nodes=tuple(key for key in dag if key in kept)), whole)
    aim = None if home is None else names(home)

    middle = {key for key in chosen.nodes if (dag.nodes[key]["label"] if home is None else key == home)}
    place = _places(graph, dag, chosen, causal, middle)
    order = sorted(set(place.values()))
    layers = _layers(graph)
    columns = _columns(chosen, place)
    measured = _measured(graph, scores)
    filled, shades = _fill(style.fill, list(measured))
    verdict = _verdict(graph, style.verdict)
    nodes = [
        replace(
            _node(key, dag.nodes[key], names, 1 if style.hide_equivalent else MEMBERS),
            band=order.index(place[key]),
            column=columns[key],
            scores=tuple(_strongest(graph, dag.nodes[key]["members"], values) for values in measured.values()),
            target=key == home,
        )
        for key in chosen.nodes
    ]
    nodes += [
        Node(key, (JOINT,), 0, False, None, order.index(place[key]), 0, None, joint=about)
        for key, about in causal.joints.items()
    ]
    sizes = [abs(shades(node) or 0.0) for node in nodes]
    largest = 1.0 if filled == PRIOR else max(sizes, default=0.0) or 1.0
    return Drawing(
        title=title or captions.title(aim, bool(causal.links)),
        subtitle=captions.subtitle(graph, dag),
        bands=tuple(_band(layers, side, i, aim, bool(middle), bool(causal.links)) for side, i in order),
        nodes=tuple(replace(node, shade=size / largest) for node, size in zip(nodes, sizes, strict=True)),
        edges=tuple(_edge(tail, head, dag.edges[tail, head], verdict) for tail, head in chosen.edges),
        selection=chosen,
        left_out=" ".join(
            filter(None, (captions.left_out(graph, dag, chosen, names, aim, max_nodes), causal.left_out))
        ),
        measures=tuple(measured),
        provenance=captions.provenance(graph),
        links=causal.links,
        filled=filled,
        verdict=verdict,
    )


def _fill(fill: str | None, measures: list[str]) -> tuple[str, Callable[[Node], float | None]]:
    """Name of the fill, and its value on a node.

    ConfigError for an unknown one.
    """
    if fill == PRIOR:
        return PRIOR, lambda node: node.prior
    methods = [name.rpartition(" (")[0] or name for name in measures]
    if fill is not None and fill not in methods:
        known = [PRIOR, *methods]
        raise ConfigError(f"nodes are filled by {', '.join(known)}; got {fill!r}; {nearest(fill, known)}")
    place = 0 if fill is None else methods.index(fill)
    name = measures[place] if measures else ""
    return name, lambda node: node.scores[place] if len(node.scores) > place else None


def _verdict(graph: NDG, verdict: str | None) -> str:
    """Way of forcing whose verdicts are drawn.

    GraphError if the edges were not forced in this way.
    """
    ways = () if graph.verdicts is None else graph.verdicts.how
    if verdict is not None and verdict not in ways:
        known = f"the ways {', '.join(ways)}" if ways else "no verdicts"
        raise GraphError(
            f"edges are drawn by the verdict of a way of forcing; this graph has {known}; got {verdict!r}; try its "
            "edges first: graph.with_verdicts(ndg.try_edges(...))"
        )
    return verdict or ""


def home_of(graph: NDG, dag: nx.DiGraph, target: int | str | Literal) -> str:
    """Key of the class that holds the target."""
    literal = graph.literal(target) if isinstance(target, Literal) else _literal(graph, target)
    home = graph.key(literal)
    if home not in dag:
        raise GraphError(
            f"a target must be in the graph; {graph.nodes.text(literal)} is constant over the {graph.examples:,} mined "
            "examples and was removed; choose another target, or mine more examples"
        )
    return home


def _literal(graph: NDG, target: int | str) -> Literal:
    """Literal of a node name or of a class number or name, with `~` or `¬` if off."""
    names, text = graph.class_names, target if isinstance(target, str) else f"{LABEL}:{target}"
    text = text if text in names else text.strip()
    off = text.startswith(("~", NEGATION)) and text not in names
    word = text[off:]
    if isinstance(target, str) and word not in names and ":" in word:
        return graph.literal(text)
    if not graph.nodes.labels:
        raise GraphError(
            f"a target class needs a graph with classes; this graph has none, got {target}; name a literal such as "
            f"{graph.nodes.name(0)!r}"
        )
    return Literal(class_number(word, names, graph.nodes.labels), not off)


def _layers(graph: NDG) -> list[str]:
    """Layers in column order; labels are outermost, so first and last."""
    return [LABEL, *(name for name, _ in graph.nodes.groups if name != LABEL), LABEL]


def _band(layers: Sequence[str], side: int, place: float, aim: str | None, labels: bool, causal: bool) -> Band:
    """Columns of a layer, or between two layers for conjunctions."""
    if place % 1:
        return Band("", side, "")
    layer = layers[int(place)]
    return Band(layer, side, layer if causal and side != MIDDLE else captions.caption(layer, side, aim, labels))


def _places(
    graph: NDG, dag: nx.DiGraph, chosen: Selection, causal: CausalPart, middle: set[str]
) -> dict[str, tuple[int, float]]:
    """Side and layer of each class.

    Consequents stand on the right, conjunctions in front of theirs.
    """
    import networkx as nx

    drawn = nx.DiGraph([*chosen.edges, *causal.edges])
    drawn.add_nodes_from(chosen.nodes)
    below, above = ({key for keys in nx.bfs_layers(way, middle) for key in keys} for way in (drawn, drawn.reverse()))
    layer = {name: index for index, name in enumerate(_layers(graph)[:-1])}

    def place(key: str) -> tuple[int, float]:
        name = dag.nodes[key]["layer"]
        if key in middle:
            return MIDDLE, layer[name]
        if key in below - above:
            return AFTER, len(layer) if name == LABEL else layer[name]
        return BEFORE, layer[name]

    places = {key: place(key) for key in chosen.nodes}
    for joint, head in ((link.tail, link.head) for link in causal.links if link.tail in causal.joints):
        side, column = places[head]
        places[joint] = (BEFORE, len(layer) - 0.5) if side == MIDDLE else (side, max(column - 0.5, 0.5))
    return places


def _columns(chosen: Selection, place: Mapping[str, tuple[int, float]]) -> dict[str, int]:
    """Column of each class within its band, by longest paths."""
    within = [(tail, head) for tail, head in chosen.edges if place[tail] == place[head]]
    depth, height = _longest(chosen.nodes, within), _longest(chosen.nodes, [(b, a) for a, b in within])
    widest = {
        band: max(height[key] for key in chosen.nodes if place[key] == band)
        for band in {place[key] for key in chosen.nodes}
    }
    return {key: widest[place[key]] - height[key] if place[key][0] == BEFORE else depth[key] for key in chosen.nodes}


def _longest(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Length of the longest path to each node of an acyclic graph."""
    import networkx as nx

    graph = nx.DiGraph(edges)
    graph.add_nodes_from(nodes)
    return {key: depth for depth, layer in enumerate(nx.topological_generations(graph)) for key in layer}


def _node(key: str, facts: Mapping[str, Any], names: Names, most: int) -> Node:
    labels = [member for member in facts["members"] if member.removeprefix("~").startswith(f"{LABEL}:")]
    labels.sort(key=lambda member: member.startswith("~"))  # the predicted class names the node
    members = labels + [member for member in facts["members"] if member not in labels]
    values = {not member.startswith("~") for member in labels or members}
    return Node(
        key=key,
        lines=tuple(map(names, members[:most])),
        more=max(len(members) - most, 0),
        label=facts["label"],
        value=values.pop() if len(values) == 1 else None,
        band=0,
        column=0,
        prior=facts["prior"],
    )


def _edge(tail: str, head: str, facts: Mapping[str, Any], verdict: str) -> Edge:
    names = ("antecedent", "consequent", "precision", "recall", "support", "exceptions")
    precision = facts["precision"]
    strength = next((i for i, low in enumerate(PRECISIONS) if (precision or 0.0) >= low), len(PRECISIONS))
    judged = facts.get(f"verdict_{verdict}", "") if verdict else ""
    return Edge(tail, head, **{name: facts[name] for name in names}, strength=strength, verdict=judged)


def _measured(
    graph: NDG, scores: Scores | Sequence[Scores] | Mapping[int, float] | None
) -> dict[str, Mapping[int, float]]:
    """Scores by measure, then by node index."""
    if isinstance(scores, Mapping):
        for node, value in scores.items():
            if node not in range(len(graph.nodes)) or not math.isfinite(value):
                raise GraphError(
                    f"scores of a picture are finite numbers by node, 0 to {len(graph.nodes) - 1}; got {node!r}: "
                    f"{value!r}; pass a result of ndg.score, or graph.nodes.literal(name).node as the key"
                )
        return {"score": scores}
    if scores is not None:
        graph = replace(graph, scored={}).with_scores(scores)
    return {f"{method} ({graph.scored[method]['measure']})": values for method, values in graph.scores.items()}


def _strongest(graph: NDG, members: Iterable[str], values: Mapping[int, float]) -> float | None:
    """Score with the largest absolute value among the neurons of a class."""
    nodes = [graph.nodes.literal(member).node for member in members]
    return max((values[node] for node in nodes if node in values), key=abs, default=None)
