"""What a run found, in words that a careful reader could sign: each claim beside what it has to be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ndg.abstraction.verdict import verdict
from ndg.report import trial_sections
from ndg.report.captions import criterion
from ndg.report.sections import results

Document = Mapping[str, Any]

WHAT = (
    "A neuron dependency graph (NDG) turns every neuron into a boolean, on or off for each example, and keeps the "
    "implications that hold with almost no exception: when neuron 3 is on, class 7 is predicted. Its nodes are "
    "literals (a neuron on or off, a class predicted or not), its edges are those implications, and every edge p → q "
    "comes with its contrapositive ¬q → ¬p (Hu & Tian, ICML 2022)."
)
LIMITS = (
    "An implication is a correlation in the data, not a cause: two neurons that follow the same feature imply each "
    "other although neither drives the other.",
    "Precision on the mined examples is high by construction. Judge the graph by the held-out figures.",
    "An alignment rate means nothing without the size of the intervention. Writing many neurons to the class's usual "
    "values moves most networks; the prototype controls write as many neurons without looking at the graph's edges.",
    "The graph speaks about booleans of the chosen layer, on these data. What a neuron does within “on”, and what "
    "happens on other data, it does not say.",
)


def says(record: Document) -> list[str]:
    """What this graph says: its size, how it holds on held-out examples, and how its interventions fared."""
    return [
        sentence
        for sentence in (_size(record), _holds(record), *_trials(record), *trial_sections.words(record))
        if sentence
    ]


def headline(record: Document) -> list[tuple[str, str, str]]:
    """A few figures as name, value and remark."""
    found = []
    split = held_out(record)
    accuracy = results(record, f"accuracy.{split}")
    if accuracy:
        found.append(("accuracy", f"{accuracy['rate']:.1%}", f"{accuracy['n']:,} {split} examples"))
    graph = results(record, "graph")
    if graph:
        found.append(("implications", f"{graph['implications']:,}", f"mined from {graph['examples']:,} examples"))
    edges = results(record, f"edges.{split}")
    if edges.get("precision") is not None:
        found.append(("held-out precision", f"{edges['precision']:.4f}", f"mean over implications, {split}"))
    for trial in results(record, "trial").values():
        figures = trial.get(split)
        if not figures or figures["aligned"] is None:
            continue
        name, against = f"{figures['intervention']} aligned", _best(figures)
        if not figures["neurons_set"]:
            found.append((name, "–", "the graph names no neuron"))
        elif against is None:
            found.append((name, f"{figures['aligned']:.1%}", ""))
        else:
            found.append((name, f"{figures['aligned']:.1%}", f"class prototype of the same size: {against:.1%}"))
    return found


def held_out(record: Document) -> str:
    """The split on which implications are judged: test, else validation where a network has no test examples."""
    judged = results(record, "edges")
    return "validation" if "test" not in judged and "validation" in judged else "test"


def _size(record: Document) -> str:
    graph = results(record, "graph")
    if not graph:
        return ""
    layers = " and ".join(f"{layer['units']:,} units of {layer['layer']}" for layer in graph["layers"])
    condensed = graph.get("condensed") or {}
    classes = results(record, "data").get("classes", "the")
    among = layers if classes is None else f"{classes} classes and {layers}"  # None: it has no logits
    parts = [
        f"Over {graph['examples']:,} examples, {graph['implications']:,} implications hold among {among} "
        f"({criterion(graph['criterion'])})."
    ]
    if condensed.get("equivalent"):
        parts.append(f"{condensed['equivalent']:,} literals have an equivalent: they say the same as another.")
    if condensed.get("constant"):
        parts.append(f"{condensed['constant']:,} nodes never change (or almost never) and are taken out.")
    if graph.get("contradictory"):
        parts.append(
            f"{graph['contradictory']:,} components contradict themselves and are left out of all conclusions."
        )
    return " ".join(parts)


def _holds(record: Document) -> str:
    split = held_out(record)
    edges = results(record, f"edges.{split}")
    if edges.get("precision") is None:
        return ""
    return (
        f"On {edges['examples']:,} {split} examples the implications hold with mean precision "
        f"{edges['precision']:.4f}, against {edges['mined_precision']:.4f} on the examples they were mined from."
    )


def _trials(record: Document) -> list[str]:
    """One sentence for each intervention on the last split tried, with its controls and a verdict."""
    told = []
    for trial in results(record, "trial").values():
        split = next((name for name in ("test", "validation") if name in trial), next(iter(trial)))
        figures = trial[split]
        if figures["aligned"] is None or not figures["neurons_set"]:
            told.append(figures.get("words", ""))
            continue
        controls = figures["controls"]
        beside = ", ".join(
            f"{words} {controls[name]['aligned']:.1%}"
            for name, words in (
                ("random", "random booleans"),
                ("prototype_random", "the class prototype on random neurons"),
                ("prototype_surest", "on its surest neurons"),
            )
            if controls.get(name, {}).get("aligned") is not None
        )
        units = f" of {figures['units']:,}" if figures.get("units") else ""
        interval = f"[{figures['aligned_low']:.1%}, {figures['aligned_high']:.1%}]"
        told.append(
            f"{figures['intervention']}, on {split}: writing the {figures['neurons_set']:.1f}{units} neurons that the "
            f"graph names ({figures['neurons_changed']:.1f} of them had the other value) turned "
            f"{figures['aligned']:.1%} {interval} of {figures['n']:,} correct predictions into the class that was "
            f"drawn. As many neurons set otherwise: {beside}. {verdict(figures)}{_unimplied(record, figures)}"
        )
    return told


def _unimplied(record: Document, figures: Document) -> str:
    """That Q is G.2 for the classes that no literal implies."""
    count = len(figures.get("no_ancestors", ()))
    if figures["intervention"] != "Q" or not count:
        return ""
    return (
        f" No literal implies {count} of the {results(record, 'data').get('classes', '')} classes; for these Q is G.2."
    )


def _best(figures: Document) -> float | None:
    rates = [
        control["aligned"]
        for name, control in figures.get("controls", {}).items()
        if name.startswith("prototype") and control.get("aligned") is not None
    ]
    return max(rates, default=None)
