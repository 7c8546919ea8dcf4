"""Findings of a run in sentences, each claim with its control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ndg.abstraction.verdict import survives, verdict
from ndg.graph.rules import criterion
from ndg.report import trial_sections
from ndg.report.sections import held_out, results

Document = Mapping[str, Any]

WHAT = (
    "A neuron dependency graph (NDG) treats every neuron as a boolean, on or off for each example, and keeps the "
    "implications that hold with almost no exception: when neuron 3 is on, class 7 is predicted. Nodes are literals (a "
    "neuron on or off, a class predicted or not), edges are implications, and every edge p → q comes with its "
    "contrapositive ¬q → ¬p (Hu & Tian, ICML 2022)."
)
LIMITS = (
    "An implication is a correlation in the data, not a cause: two neurons that follow the same feature imply each "
    "other although neither drives the other.",
    "An alignment rate means nothing without the size of the intervention. Setting many neurons to the usual values "
    "of a class changes the prediction of most networks; the prototype controls set, or change, as many neurons "
    "without the graph's edges.",
    "The graph describes booleans of the chosen layer, on these data. It says nothing about how strongly a neuron is "
    "on, or about other data.",
)
"""What holds for every run."""
CONTROLS = {
    "random": "random booleans",
    "prototype_random": "the class prototype on random neurons",
    "prototype_surest": "on its surest neurons",
    "prototype_contrast": "by contrast",
    "prototype_log_odds": "by log odds",
}
CHANGED = {
    "prototype_surest_changed": "on its surest neurons",
    "prototype_contrast_changed": "by contrast",
    "prototype_log_odds_changed": "by log odds",
}


def says(record: Document) -> list[str]:
    """Sentences about the size of the graph, interventions and trials.

    The verdict has the held-out precision.
    """
    sentences = [_size(record), *_trials(record), *trial_sections.words(record)]
    return [named(sentence) for sentence in sentences if sentence]


def named(text: str) -> str:
    """Text with words for the keys of controls."""
    for key in sorted(trial_sections.CONTROLS, key=len, reverse=True):
        if key != "graph":
            text = text.replace(key, trial_sections.CONTROLS[key])
    return text


def headline(record: Document) -> list[tuple[str, str, str]]:
    """Key figures as name, value and remark."""
    figures, split = [], held_out(record)
    accuracy = results(record, f"accuracy.{split}")
    if accuracy:
        figures.append(("accuracy", f"{accuracy['rate']:.1%}", f"{accuracy['n']:,} {split} examples"))
    graph = results(record, "graph")
    if graph:
        figures.append(("implications", f"{graph['implications']:,}", f"mined from {graph['examples']:,} examples"))
    edges = results(record, f"edges.{split}")
    if edges.get("precision") is not None:
        figures.append(("held-out precision", f"{edges['precision']:.4f}", f"mean over implications, {split}"))
    for trial in results(record, "trial").values():
        rates = trial.get(split)
        if not rates or rates["aligned"] is None:
            continue
        value, remark = f"{rates['aligned']:.1%}", ""
        controls = [control for name, control in rates.get("controls", {}).items() if name.startswith("prototype")]
        prototypes = [control["aligned"] for control in controls if control.get("aligned") is not None]
        if not rates["neurons_set"]:
            value, remark = "–", "the graph names no neuron"
        elif not survives(rates):
            remark = "no verdict: binarising alone changes the network"
        elif prototypes:
            remark = f"strongest class prototype: {max(prototypes):.1%}"
        figures.append((f"{rates['intervention']} aligned", value, remark))
    return figures


def _size(record: Document) -> str:
    graph = results(record, "graph")
    if not graph:
        return ""
    layers = " and ".join(f"{layer['units']:,} units of {layer['layer']}" for layer in graph["layers"])
    condensed = graph.get("condensed") or {}
    classes = results(record, "data").get("classes", "the")
    among = layers if classes is None else f"{classes} classes and {layers}"  # None: a network without logits
    parts = [
        f"Over {graph['examples']:,} examples, {graph['implications']:,} implications hold among {among} "
        f"({criterion(graph['criterion'])})."
    ]
    counts = [
        (condensed.get("equivalent"), "literals are equivalent to another literal."),
        (condensed.get("constant"), "nodes (almost) never change and are removed."),
        (graph.get("contradictory"), "components contradict themselves and are excluded from all conclusions."),
    ]
    return " ".join([*parts, *(f"{count:,} {words}" for count, words in counts if count)])


def _trials(record: Document) -> list[str]:
    """One sentence per intervention on the last split, with controls and verdict.

    Equal ones share it.
    """
    sentences = []
    for names, split, figures in _distinct(record):
        if figures["aligned"] is None or not figures["neurons_set"]:
            sentences.append(figures.get("words", ""))
            continue
        rates, changed = (_rates(figures["controls"], named) for named in (CONTROLS, CHANGED))
        changed = f" As many changed, the class prototype: {changed}." if changed else ""
        count, classes = len(figures.get("no_ancestors", ())), results(record, "data").get("classes", "")
        unimplied = f" No literal implies {count} of the {classes} classes; for these Q equals G.2."
        unimplied = unimplied if count and figures["intervention"] == "Q" else ""
        units = f" of {figures['units']:,}" if figures.get("units") else ""
        interval = f"[{figures['aligned_low']:.1%}, {figures['aligned_high']:.1%}]"
        sentences.append(
            f"{names}, on {split}: setting the {figures['neurons_set']:.1f}{units} neurons that the "
            f"graph names ({figures['neurons_changed']:.1f} of them had the other value) turned "
            f"{figures['aligned']:.1%} {interval} of {figures['n']:,} correct predictions into the drawn "
            f"class. Controls with as many neurons: {rates}.{changed} {verdict(figures)}{unimplied}"
        )
    return sentences


def _distinct(record: Document) -> list[tuple[str, str, Document]]:
    """Names, split and figures of interventions that do not do the same."""
    seen: dict[str, tuple[list[str], str, Document]] = {}
    for trial in results(record, "trial").values():
        split = next((name for name in ("test", "validation") if name in trial), next(iter(trial)))
        figures = trial[split]
        parts = ("aligned", "changed", "neurons_set", "neurons_changed", "n", "selectivity")
        key = repr([figures.get(part) for part in parts])
        seen.setdefault(key, ([], split, figures))[0].append(figures["intervention"])
    return [(" and ".join(names), split, figures) for names, split, figures in seen.values()]


def _rates(controls: Document, named: Document) -> str:
    """Aligned rates of the named controls that the run has."""
    return ", ".join(
        f"{words} {controls[name]['aligned']:.1%}"
        for name, words in named.items()
        if controls.get(name, {}).get("aligned") is not None
    )
