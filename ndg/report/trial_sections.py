"""Tables and charts of what else was on trial: curves, interchange, edges, minimal interventions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ndg.report import row_table
from ndg.report.chart import Chart
from ndg.report.row_table import LEVEL
from ndg.report.tables import Column, Interval, Table

Document = Mapping[str, Any]

ORDERS = {
    "graph": "the graph's choice",
    "prototype_surest": "prototype, surest",
    "prototype_random": "prototype, random",
}
SELECTIVITY_NOTE = (
    "The interval is a paired bootstrap over examples; the draws repeat the choice of alternatives and of random "
    "neurons."
)
CURVE_NOTE = (
    "Neurons are set one after the other: those of the graph's choice, the most specific literals first, until it is "
    "used up; the others to the class prototype's booleans, in the order named. area: the mean aligned rate under the "
    "curve, up to the number of changed neurons that every order reaches; graph minus: how much more area the graph's "
    "has."
)
INTERCHANGE_NOTE = (
    "Neurons of a base example take the activations of a source. coverage: share of the pairs on which the graph "
    "decides on a label. IIA: share of these on which the network predicts it. base label, source label: the constant "
    "predictors on the same pairs. undecided wrong: IIA with undecided pairs counted as wrong. shuffled graph: the "
    "same with the graph's units in another order; random set: as many units, at random."
)
MINIMAL_NOTE = (
    "How many neurons must be written otherwise until the network predicts the drawn class, on the compared examples, "
    "those on which every method but the random one succeeds. prefix: the first ones of an order; eliminated: without "
    "those that can be dropped; within: the smallest set of the graph's literals; searched: of all units, while the "
    "budget lasted. specific: the graph's ranking without its edges; graph_greedy: greedy among the graph's literals. "
    "tried: sets tried per example; known smallest: examples on which no smaller set is left."
)


def curves(record: Document) -> list[tuple[Chart, Table]]:
    """For each intervention that has a curve: the chart, and the areas beneath its lines."""
    return [
        _curve(figures, figures["curve"])
        for stage in (record.get("results") or {}).get("trial", {}).values()
        for figures in stage.values()
        if figures.get("curve")
    ]


def _curve(figures: Document, curve: Document) -> tuple[Chart, Table]:
    n, title = max(curve["n"], 1), f"{figures['intervention']} on {figures['split']}: aligned against neurons changed"
    lines = {
        ORDERS.get(name, f"{name} order"): [
            (changed / n, aligned / n)
            for changed, aligned in sorted(zip(order["neurons_changed"], order["aligned"], strict=True))
        ]
        for name, order in curve["orders"].items()
    }
    columns = {
        "order": Column("order", left=True),
        "area": Column("area"),
        "minus": Column("graph minus", "95 %"),
    }
    cells = []
    for name, order in curve["orders"].items():
        ends = [order[key] for key in ("graph_minus", "graph_minus_low", "graph_minus_high")]
        minus = None if None in ends else Interval(*ends)
        cells.append({"order": ORDERS.get(name, f"{name} order"), "area": order["area"], "minus": minus})
    end = curve["end"]
    head = f"Areas under the curves of {figures['intervention']}" + (
        "" if end is None else f", up to {end:.1f} changed"
    )
    table = Table.of(head, columns, cells, note=CURVE_NOTE)
    return Chart(title, "neurons really changed (mean)", "aligned", lines if curve["n"] else {}), table


def selectivity(record: Document) -> Table | None:
    """Per intervention and split: how much better the graph's choice aligns than the better prototype control."""
    columns = {
        "intervention": Column("", left=True),
        "split": Column("split", left=True),
        "value": Column("selectivity", LEVEL, digits=4),
        "least": Column("least", "over draws", digits=4),
        "most": Column("most", "over draws", digits=4),
        "draws": Column("draws"),
        "control": Column("against", left=True),
        "picked": Column("which is", left=True),
    }
    lines = [
        {
            "intervention": figures["intervention"],
            "split": split,
            "value": Interval(figures["selectivity"], figures["selectivity_low"], figures["selectivity_high"]),
            "least": min(figures["selectivity_draws"]),
            "most": max(figures["selectivity_draws"]),
            "draws": len(figures["selectivity_draws"]),
            "control": ORDERS.get(figures["selectivity_control"], figures["selectivity_control"]),
            "picked": figures["selectivity_picked"],
        }
        for stage in (record.get("results") or {}).get("trial", {}).values()
        for split, figures in stage.items()
        if figures.get("selectivity_draws") and figures.get("selectivity_low") is not None
    ]
    if not lines:
        return None
    return Table.of("Selectivity: aligned minus the better prototype control", columns, lines, note=SELECTIVITY_NOTE)


def interchange(record: Document) -> list[Table]:
    """For each split what interchange interventions found; pairs whose labels differ, then the others."""
    found = []
    for split, stage in _stage(record, "interchange").items():
        lines = [
            {
                "set": line["set"],
                "graph": line["control"],
                "pairs": line["pairs"],
                "of labels": line["among"],
                "coverage": _rate(line, "coverage"),
                "IIA": _rate(line, "iia"),
                "base label": line["base_label"],
                "source label": line["source_label"],
                "undecided wrong": line["iia_undecided_wrong"],
                "units": line["units"],
                "units changed": line["units_changed"],
            }
            for line in stage.get("rows", [])
            if line["among"] != "all" and line["pairs"]
        ]
        found.append(row_table.table(f"Interchange interventions on {split}", lines, note=INTERCHANGE_NOTE))
    return found


def edges(record: Document) -> list[Table]:
    """For each split how many edges survived, by the layers that they join."""
    return [
        row_table.table(f"Edges on trial on {split}", stage["summary"], titles=EDGE_TITLES, note=EDGES_NOTE)
        for split, stage in _stage(record, "edges_tried").items()
    ]


def minimal(record: Document) -> list[Table]:
    """For each split how small interventions can be, by the order in which neurons are tried."""
    keys = ["method", "stage", "success", "success_low", "success_high", "n", "compared"]
    keys += ["median", "median_low", "median_high", "mean", "tried", "exact"]
    return [
        row_table.table(
            f"Minimal interventions on {split}",
            [{key: line.get(key) for key in keys} for line in stage["rows"]],
            titles={"median": "median size", "mean": "mean size", "exact": "known smallest"},
            note=MINIMAL_NOTE,
        )
        for split, stage in _stage(record, "minimal").items()
    ]


def words(record: Document) -> list[str]:
    """What the stages say, a sentence or more for each."""
    found = []
    for stage, head in (("interchange", "Interchange, "), ("edges_tried", ""), ("minimal", "")):
        for one in _stage(record, stage).values():
            lines = [line for line in str(one.get("words") or "").split("\n") if line]
            told = "; ".join([f"{head}{lines[0]}", *lines[1:]]) if lines else ""
            found.append(told[:1].upper() + told[1:] + ("" if told.endswith(".") else "."))
    return [sentence for sentence in found if len(sentence) > 1]


EDGE_TITLES = {
    "neurons_set_mean": "neurons set",
    "neurons_changed_mean": "really changed",
    "before": "rate before",
    "how": "forced",
}
EDGES_NOTE = (
    "Edges from a layer to a later one or to a label, each with its contrapositive, which inherits the verdict. On "
    "the held-out examples on which the antecedent does not hold it is forced: alone, with what it implies within its "
    "layer (closure), or these without itself (rest): where as many survive so, the antecedent adds nothing. "
    "observational: how often the consequent holds where the antecedent does; interventional: where it is forced; "
    "rate before: on the same examples before. tested: on 20 such examples or more. survived: the lower end of the 95 "
    "% interval of the interventional rate is at least the bar, and the change is more than chance (McNemar, "
    "Benjamini & Hochberg at 0.05). Edges within a layer are constraints: nothing is forced there."
)


def _stage(record: Document, name: str) -> Mapping[str, Any]:
    found = (record.get("results") or {}).get(name)
    return found if isinstance(found, Mapping) else {}


def _rate(line: Document, key: str) -> Interval | float | None:
    value, low, high = (line.get(name) for name in (key, f"{key}_low", f"{key}_high"))
    return value if value is None or low is None or high is None else Interval(value, low, high)
