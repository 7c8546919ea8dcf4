"""Content of an explorer, computed before it is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndg.graph.causal_rows import CONJUNCTION, IMPLICATION
from ndg.graph.ndg import NDG
from ndg.importance.scores import Scores
from ndg.nodes import LABEL
from ndg.report import captions
from ndg.report.captions import Names
from ndg.report.causal_drawing import implications_alone
from ndg.report.explorer.layout import places
from ndg.stimuli.result import IMAGE, Examples

MOST_EDGES = 200_000
"""Edges of a page; of a larger graph the most precise ones are on it, and the page says so."""
CONJUNCTIONS = "conjunctions"
"""The band of conjunctions, before the labels."""
SHOWN = 6
"""Examples and features that the page shows of a literal or an edge."""
VERDICT, RATE = "verdict_", "interventional_"
"""Beginnings of the attributes of edges that were forced."""

Column = list[Any]


@dataclass(frozen=True)
class Explorer:
    """Columns of classes and edges.

    `layers` are in the order of the network, labels last. `classes` has lists of one length: members (names as
    shown), texts (as `NDG.literal` reads them), layer (place in `layers`), value, prior, contradictory, mirror (place
    of the negation), about (words on a conjunction, which has a row as well), fires (1 for a conjunction that can), x,
    y, and scores by measure. `edges` has tail and head (places in `classes`), kind (implication, member or conclusion
    of a conjunction, vote), vote (weight), essential (an implication that follows from no path of others, or no
    implication), antecedent and consequent (texts of the strongest implication), precision, recall, support,
    exceptions, and where edges were forced the verdict and the rate after forcing, by way. `left_out` says what is
    not there. `seen` has the examples of literals and exceptions of edges, with places in it in `classes` and `edges`
    (-1: none).
    """

    title: str
    subtitle: str
    layers: tuple[str, ...]
    measures: tuple[str, ...]
    ways: tuple[str, ...]
    classes: dict[str, Column]
    edges: dict[str, Column]
    left_out: str
    provenance: str
    seen: tuple[dict[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return dict(vars(self))


def tabulate(
    graph: NDG,
    *,
    scores: Scores | Sequence[Scores] | None = None,
    title: str | None = None,
    examples: Iterable[Examples] = (),
) -> Explorer:
    """Explorer of an NDG with scores, verdicts and examples.

    `scores` replace those of the graph; examples are of literals and edges.
    """
    shown = [each.fewer(SHOWN) for each in examples]
    number = {each.of: place for place, each in enumerate(shown)}
    if scores is not None:
        graph = graph.with_scores(scores)
    dag = graph.to_networkx(flat=False)
    names = Names(graph.nodes, graph.class_names)
    layers = [name for name, _ in graph.nodes.groups if name != LABEL]
    layers += [CONJUNCTIONS] * bool(graph.conjunctions) + [LABEL] * bool(graph.nodes.labels)
    place = {key: number for number, key in enumerate(dag)}
    rows = [_conjunction(row, names) if _joined(row) else row for row in dag.nodes.values()]
    measured = {name: f"{name} ({graph.scored[name]['measure']})" for name in graph.scores}
    edges, left_out = _edges(dag, place, names, frozenset(graph.reduction()))
    edges["seen"] = [number.get(f"{row.get('antecedent')} -> {row.get('consequent')}", -1) for row in edges.pop("rows")]
    band = np.array([layers.index(row["layer"]) for row in rows], np.int64)
    centres, _ = places(band, np.array(edges["tail"], np.int64), np.array(edges["head"], np.int64))
    classes: dict[str, Column] = {
        "members": [row.get("shown") or list(map(names, row["members"])) for row in rows],
        "texts": [row.get("members") or [key] for key, row in zip(dag, rows, strict=True)],
        "layer": band.tolist(),
        "value": [row["value"] for row in rows],
        "prior": [_rounded(row["prior"]) for row in rows],
        "contradictory": [row["contradictory"] for row in rows],
        "mirror": [-1 if _joined(row) else place.get(graph.key(~graph.literal(row["members"][0])), -1) for row in rows],
        "about": [row.get("about", "") for row in rows],
        "fires": [int(_joined(row) and _fires(dag, key)) for key, row in zip(dag, rows, strict=True)],
        "seen": [_seen(number, row.get("members") or []) for row in rows],
        "x": centres[:, 0].round(1).tolist(),
        "y": centres[:, 1].round(1).tolist(),
    }
    classes |= {f"score {number}": [_rounded(row.get(name)) for row in rows] for number, name in enumerate(measured)}
    return Explorer(
        title=title or "Neuron dependency graph",
        subtitle=captions.subtitle(graph, implications_alone(dag)),
        layers=tuple(layers),
        measures=tuple(measured.values()),
        ways=tuple(name.removeprefix("verdict ") for name in edges if name.startswith("verdict ")),
        classes=classes,
        edges=edges,
        left_out=left_out,
        provenance=captions.provenance(graph),
        seen=tuple(map(_pictures, shown)),
    )


def _seen(number: Mapping[str, int], members: Sequence[str]) -> int:
    """Place of the examples of the first member that has some, or whose negation has."""
    texts = [*members, *(member.removeprefix("~") for member in members)]
    return next((number[text] for text in texts if text in number), -1)


def _pictures(seen: Examples) -> dict[str, Any]:
    """What a page shows of some examples: words, pictures with captions, texts."""
    means = {"mean where it holds": seen.mean_holds, "mean elsewhere": seen.mean_else}
    pictures = [[name, image] for name, image in means.items() if image]
    pictures += [[f"example {each.number}: {each.value:.3g}", each.image] for each in seen.top if each.image]
    texts = [each.text for each in seen.top if each.text]
    if seen.kind != IMAGE and not texts:
        texts = [f"{each.feature}: {each.words()}" for each in seen.ranges]
    return {"of": seen.of, "words": seen.words(), "pictures": pictures, "texts": texts}


def _edges(
    dag: Any, place: dict[str, int], names: Names, essential: frozenset[tuple[str, str]]
) -> tuple[dict[str, Column], str]:
    """Columns of the edges, and what was left out."""
    every = list(dag.edges(data=True))
    left_out = ""
    if len(every) > MOST_EDGES:
        every.sort(key=lambda edge: -(edge[2].get("precision", 1.0) or 0.0))
        lost = len(every) - MOST_EDGES
        every = every[:MOST_EDGES]
        left_out = f"The {MOST_EDGES:,} most precise edges are on this page, {lost:,} others are not."
    rows = [row for _, _, row in every]
    columns: dict[str, Column] = {
        "tail": [place[tail] for tail, _, _ in every],
        "head": [place[head] for _, head, _ in every],
        "kind": [row.get("kind", IMPLICATION) for row in rows],
        "essential": [
            (tail, head) in essential or row.get("kind", IMPLICATION) != IMPLICATION for tail, head, row in every
        ],
        "vote": [_rounded(row.get("vote")) for row in rows],
    }
    columns |= {
        name: [names(row[name]) if name in row else "" for row in rows] for name in ("antecedent", "consequent")
    }
    columns |= {name: [row.get(name) for row in rows] for name in ("support", "exceptions")}
    columns |= {name: [_rounded(row.get(name)) for row in rows] for name in ("precision", "recall")}
    ways = dict.fromkeys(name.removeprefix(VERDICT) for row in rows for name in row if name.startswith(VERDICT))
    for way in ways:
        columns[f"verdict {way}"] = [row.get(VERDICT + way) for row in rows]
        columns[f"rate {way}"] = [_rounded(row.get(RATE + way)) for row in rows]
    columns["rows"] = rows
    return columns, left_out


def _joined(row: Mapping[str, Any]) -> bool:
    """Whether a row is one of a conjunction."""
    return row.get("kind") == CONJUNCTION


def _conjunction(row: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """A conjunction as a row with what a class has."""
    members, consequent, n = row["literals"], names(row["consequent"]), row["test_n"]
    about = f"{' and '.join(map(names, members))} together force {consequent}."
    if n:
        about += f" Forced, it works on {row['test_turned']:,} of {n:,} held-out examples"
        about += f" [{row['low']:.3f}, {row['high']:.3f}]."
    return {
        **row,
        "shown": [f"∧ {len(members)} for {consequent}"],
        "about": about,
        "layer": CONJUNCTIONS,
        "value": True,
        "prior": None,
        "contradictory": False,
    }


def _fires(dag: Any, key: str) -> bool:
    """Whether no literal of a conjunction is of a contradictory class, through which nothing passes."""
    return not any(dag.nodes[end]["contradictory"] for end in [*dag.predecessors(key), *dag.successors(key)])


def _rounded(value: float | None) -> float | None:
    """A figure to six significant digits."""
    return None if value is None else float(f"{value:.6g}")
