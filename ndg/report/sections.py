"""Tables of a report, read from a run document."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any

from ndg.nodes import LABEL
from ndg.report.tables import Column, Interval, Table

Document = Mapping[str, Any]

CONTROLS = {
    "graph": "the graph's choice",
    "prototype_surest": "class prototype, surest neurons",
    "prototype_contrast": "class prototype, by contrast",
    "prototype_log_odds": "class prototype, by log odds",
    "prototype_random": "class prototype, random neurons",
    "prototype_surest_changed": "surest neurons, as many changed",
    "prototype_contrast_changed": "by contrast, as many changed",
    "prototype_log_odds_changed": "by log odds, as many changed",
    "random": "random booleans",
    "binarise": "binarising alone",
    "reinitialised": "graph of the re-initialised network",
    "random_inputs": "graph of random inputs",
    "shuffled_labels": "graph of shuffled labels",
}
"""Description of each control."""
TRIAL_NOTE = (
    "Rates are over the n examples that the untouched network classifies correctly. Aligned: the prediction becomes "
    "the class drawn for the example; changed: it becomes another class; unchanged: it stays. Contradictory: the "
    "graph sets a neuron both on and off, so it is not set. Neurons set: mean number of neurons written; changed: "
    "mean number that had the other value before. Controls write as many neurons as the graph, example by example, or "
    "(as many changed) the first neurons of their order that change as many. Prototypes are of the mined examples: "
    "surest neurons have the most probable booleans given the class; contrast and log odds are those of a neuron's "
    "share of on given the class against the other examples. Control graphs write the neurons that they name."
)
FIGURES_NOTE = (
    "The paper's graph joins pairs of literals and may have cycles; in the condensed graph, literals that imply each "
    "other are one node."
)
PRECISION_NOTE = (
    "Precision on the mined examples is high by construction of the criterion; only the other rows are informative, "
    "beside how often the consequents hold on all examples. "
    "Judged: implications whose antecedent holds in some example. They share examples, so the mean has no interval; "
    "the table of the weakest implications has intervals."
)
KINDS_NOTE = "Clearly lower: the whole 95 % interval of the held-out precision lies below the precision when mined."
WORST, TOP = 12, 15
"""Rows of the tables of the weakest implications and of the most important neurons."""


def results(record: Document, path: str) -> Mapping[str, Any]:
    """Results of a stage by dotted path, or an empty mapping."""
    value: Any = record.get("results") or {}
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def held_out(record: Document) -> str:
    """Split for judging implications: test, or validation without test examples."""
    judged = results(record, "edges")
    return "validation" if "test" not in judged and "validation" in judged else "test"


def rate(figures: Document, name: str) -> Interval | float | None:
    """Rate with its interval, if the run has one."""
    value, low, high = (figures.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    return value if value is None or low is None or high is None else Interval(value, low, high)


def trials(record: Document) -> list[Table]:
    """Interventions and controls on each split, held-out splits first."""
    stages = results(record, "trial").values()
    splits = [*reversed(dict.fromkeys(split for stage in stages for split in stage))]
    by_split = {split: [stage[split] for stage in stages if split in stage] for split in splits}
    return [_trial(split, by_split[split], TRIAL_NOTE if split == splits[0] else "") for split in splits]


def _trial(split: str, stages: Sequence[Document], note: str) -> Table:
    columns = {
        "intervention": Column("", left=True),
        "control": Column("written into the layer", left=True),
        "aligned": Column("aligned", "95 %"),
        "changed": Column("changed"),
        "unchanged": Column("unchanged"),
        "contradictory": Column("contradictory"),
        "neurons_set": Column("neurons set", digits=1),
        "neurons_changed": Column("changed", "neurons", digits=1),
        "n": Column("n"),
    }
    rows: list[dict[str, Any]] = []
    strong = set()
    chance = sorted({figures["chance"] for figures in stages if figures.get("chance") is not None})
    values = sorted({figures["values"] for figures in stages if figures.get("values")})
    note += f" Written for booleans: {', '.join(values)}." if note and values else ""
    note += f" Chance: {', '.join(f'{rate:.3f}' for rate in chance)}." if note and chance else ""
    for figures in stages:
        strong.add(len(rows))
        controls = {"graph": figures, **figures.get("controls", {})}
        for name, words in CONTROLS.items():
            if name in controls:
                row = {**controls[name], "aligned": rate(controls[name], "aligned"), "control": words}
                rows.append(row | {"intervention": figures.get("intervention", "") if name == "graph" else ""})
    return Table.of(f"Interventions on {split}", columns, rows, strong=frozenset(strong), note=note)


def figures(record: Document) -> Table | None:
    """Figures of the paper's graph and of the condensed graph."""
    graph = results(record, "graph")
    if not graph.get("paper"):
        return None
    condensed = graph.get("condensed") or {}
    rows = tuple((name.replace("_", " "), value, condensed.get(name)) for name, value in graph["paper"].items())
    extra = [
        (graph.get("equivalent_pairs"), "pairs of literals that imply each other directly"),
        (graph.get("cyclic_components"), "cyclic components before condensing"),
        (graph.get("contradictory"), "contradictory components"),
    ]
    counts = ", ".join(f"{value:,} {noun}" for value, noun in extra if value is not None)
    worst = graph.get("worst_agreement")
    note = f"Also: {counts}. " if counts else ""
    note += "" if worst is None else f"Members of one class agree on at least {worst:.2%} of the examples. "
    columns = (Column("", left=True), Column("paper's graph", digits=2), Column("condensed", digits=2))
    return Table("The graph in figures", columns, rows, note + FIGURES_NOTE)


def precision(record: Document) -> Table | None:
    """Mean precision and recall of the implications on each split."""
    stages = results(record, "edges")
    if not stages:
        return None
    columns = {
        "split": Column("examples of", left=True),
        "examples": Column("n"),
        "judged": Column("implications", "judged"),
        "precision": Column("precision", "mean", digits=4),
        "base_rate": Column("consequent holds", "on all, mean", digits=4),
        "mined_precision": Column("precision when mined", "mean", digits=4),
        "recall": Column("recall", "mean", digits=4),
    }
    rows = [{"split": split, **stage} for split, stage in stages.items()]
    return Table.of("Implications on other examples than those mined", columns, rows, note=PRECISION_NOTE)


def kinds(edges: Sequence[Document], split: str) -> Table | None:
    """Held-out precision by the layers that implications join."""
    if not edges:
        return None
    groups: dict[str, list[Document]] = defaultdict(list)
    for edge in edges:
        groups[f"{_layer(edge['antecedent'])} → {_layer(edge['consequent'])}"].append(edge)
    columns = {
        "kind": Column("from → to", left=True),
        "count": Column("implications"),
        "judged": Column("judged"),
        "mined": Column("precision when mined", "mean", digits=4),
        "held": Column(f"precision on {split}", "mean", digits=4),
        "lower": Column("clearly lower"),
    }
    rows = []
    for kind, members in groups.items():
        judged = [edge for edge in members if _known(edge["precision"])]
        rows.append(
            {
                "kind": kind,
                "count": len(members),
                "judged": len(judged),
                "mined": fsum(edge["mined_precision"] for edge in judged) / len(judged) if judged else None,
                "held": fsum(edge["precision"] for edge in judged) / len(judged) if judged else None,
                "lower": sum(edge["precision_high"] < edge["mined_precision"] for edge in judged),
            }
        )
    return Table.of(f"Implications by layers, on {split}", columns, rows, note=KINDS_NOTE)


def weakest(edges: Sequence[Document], split: str) -> Table | None:
    """Implications with the lowest held-out precision, with intervals."""
    judged = [edge for edge in edges if _known(edge["precision"])]
    if not judged:
        return None
    columns = {
        "antecedent": Column("when", left=True),
        "consequent": Column("then", left=True),
        "mined_precision": Column("precision when mined", digits=4),
        "precision": Column(f"precision on {split}", "95 %", digits=4),
        "n_antecedent": Column("n", "with the antecedent"),
        "exceptions": Column("exceptions"),
    }
    judged = sorted(judged, key=lambda edge: (edge["precision"], -edge["n_antecedent"]))[:WORST]
    rows = [
        {**edge, "precision": Interval(edge["precision"], edge["precision_low"], edge["precision_high"])}
        | {key: edge[key].replace("~", "¬", 1) for key in ("antecedent", "consequent")}
        | {key: int(edge[key]) for key in ("n_antecedent", "exceptions")}
        for edge in judged
    ]
    return Table.of(f"The {len(rows)} implications with the lowest precision on {split}", columns, rows)


def scores(record: Document) -> list[Table]:
    """Units of each layer with the largest scores."""
    methods = {name: stage for name, stage in results(record, "scores").items() if stage.get("layers")}
    by_layer: dict[str, dict[str, list[float]]] = defaultdict(dict)
    for name, stage in methods.items():
        for row in stage["layers"]:
            by_layer[row["layer"]][name] = row["values"]
    return [_scores(layer, values, methods) for layer, values in by_layer.items()]


def _scores(layer: str, values: Mapping[str, Sequence[float]], methods: Mapping[str, Document]) -> Table:
    columns = {"node": Column("neuron", left=True)}
    ranks = {}
    for name, numbers in values.items():
        columns[name] = Column(name, str(methods[name].get("measure", "")), digits=4)
        columns[f"{name} rank"] = Column("rank")
        order = sorted(range(len(numbers)), key=lambda unit, numbers=numbers: -abs(numbers[unit]))  # type: ignore[misc]
        ranks[name] = {unit: place for place, unit in enumerate(order, 1)}
    first = next(iter(values))
    rows = []
    for unit in sorted(ranks[first], key=ranks[first].__getitem__)[:TOP]:
        row: dict[str, Any] = {"node": f"{layer}:{unit}"}
        for name, numbers in values.items():
            row |= {name: numbers[unit], f"{name} rank": ranks[name][unit]}
        rows.append(row)
    sources = "; ".join(f"{name}: {_source(stage)}" for name, stage in methods.items() if name in values)
    note = f"{sources}. Ranks are by absolute value."
    for reading in [row for name in values for row in methods[name].get("tokens", []) if row["layer"] == layer][:1]:
        note += f" The graph reads {reading['graph']}; scores are of the units with {reading['scored']}."
    title = f"Importance of the units of {layer}: the {len(rows)} largest of {len(values[first])}"
    return Table.of(title, columns, rows, note=note)


def _source(stage: Document) -> str:
    """Examples, target and baseline of a score."""
    if stage.get("facts", {}).get("graph"):
        return f"from the graph alone, mined from {stage['examples']:,} examples"
    if not stage.get("examples"):
        return "from the weights, without examples"
    return (
        f"mean over {stage['examples']:,} examples of {stage.get('split', 'the data')}, "
        f"target {stage.get('target')}, baseline {stage.get('baseline')}"
    )


def accuracy(record: Document) -> Table | None:
    """Accuracy of the untouched network on each split."""
    stages = results(record, "accuracy")
    if not stages:
        return None
    columns = {
        "split": Column("examples of", left=True),
        "rate": Column("accuracy", "95 %", digits=4),
        "correct": Column("correct"),
        "n": Column("n"),
    }
    rows = [
        {**stage, "split": split, "rate": Interval(stage["rate"], stage["low"], stage["high"])}
        for split, stage in stages.items()
    ]
    return Table.of("The network, untouched", columns, rows)


def _known(value: Any) -> bool:
    return value is not None and value == value


def _layer(literal: str) -> str:
    layer = literal.removeprefix("~").rpartition(":")[0]
    return "class" if layer == LABEL else layer
