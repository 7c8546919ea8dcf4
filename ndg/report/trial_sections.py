"""Tables and charts of curves, interchange, edges and minimal interventions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ndg.graph.verdicts import ANTECEDENT_FALSE
from ndg.report.chart import Chart
from ndg.report.sections import rate, results
from ndg.report.tables import LEVEL, Column, Interval, Table

Document = Mapping[str, Any]

ORDERS = {
    "graph": "the graph's choice",
    "prototype_surest": "prototype, surest",
    "prototype_contrast": "prototype, contrast",
    "prototype_log_odds": "prototype, log odds",
    "prototype_random": "prototype, random",
}
CONTROLS = ORDERS | {f"{name}_changed": f"{words}, as many changed" for name, words in ORDERS.items()}
SELECTIVITY_NOTE = (
    "The interval is a paired bootstrap over examples; each draw repeats the choice of classes and random neurons."
)
CURVE_NOTE = (
    "Neurons are set one after another: for the graph, its choice with the most specific literals first; for the "
    "other orders, the booleans of the class prototype in that order. contrast, log odds: of a neuron's share of on "
    "given the class and elsewhere. area: mean aligned rate under the curve, up to the number of changed neurons that "
    "every order reaches; graph minus: the graph's area minus this one."
)
INTERCHANGE_NOTE = (
    "Neurons of a base example take the activations of a source example. coverage: share of the pairs on which the "
    "graph decides a label. IIA: share of these on which the network predicts it. base label, source label: constant "
    "predictors on the same pairs. undecided wrong: IIA with undecided pairs counted as wrong. shuffled graph: the "
    "graph with its units shuffled; random set: as many random units."
)
MINIMAL_NOTE = (
    "Number of neurons that must be changed until the network predicts the drawn class, on the compared examples (all "
    "methods except random succeed). prefix: the first neurons of an order; eliminated: without those that can be "
    "dropped; within: the smallest set among the graph's literals; searched: among all units, within the budget. "
    "specific: the graph's ranking without its edges; graph greedy: greedy among the graph's literals. tried: sets "
    "tried per example; known smallest: examples where no smaller set exists."
)


def curves(record: Document) -> list[tuple[Chart, Table]]:
    """Chart and areas for each intervention with a curve."""
    with_curve = [
        figures for stage in results(record, "trial").values() for figures in stage.values() if figures.get("curve")
    ]
    return [_curve(figures, figures["curve"], CURVE_NOTE * (not place)) for place, figures in enumerate(with_curve)]


def _curve(figures: Document, curve: Document, note: str) -> tuple[Chart, Table]:
    n, title = max(curve["n"], 1), f"{figures['intervention']} on {figures['split']}: aligned against neurons changed"
    lines = {}
    for name, order in curve["orders"].items():
        points = sorted(zip(order["neurons_changed"], order["aligned"], strict=True))
        lines[ORDERS.get(name, f"{name} order")] = [(changed / n, aligned / n) for changed, aligned in points]
    columns = (Column("order", left=True), Column("area"), Column("graph minus", "95 %"))
    cells = []
    for name, order in curve["orders"].items():
        ends = [order[key] for key in ("graph_minus", "graph_minus_low", "graph_minus_high")]
        cells.append((ORDERS.get(name, f"{name} order"), order["area"], None if None in ends else Interval(*ends)))
    end = "" if curve["end"] is None else f", up to {curve['end']:.1f} changed"
    table = Table(f"Areas under the curves of {figures['intervention']}{end}", columns, tuple(cells), note)
    return Chart(title, "neurons changed (mean)", "aligned", lines if curve["n"] else {}), table


def selectivity(record: Document) -> Table | None:
    """Aligned rate minus that of the strongest prototype."""
    columns = (
        Column("", left=True),
        Column("split", left=True),
        Column("selectivity", LEVEL, digits=4),
        Column("least", "over draws", digits=4),
        Column("most", "over draws", digits=4),
        Column("draws"),
        Column("against", left=True),
        Column("chosen by", left=True),
    )
    lines = [
        (
            figures["intervention"],
            split,
            Interval(figures["selectivity"], figures["selectivity_low"], figures["selectivity_high"]),
            min(figures["selectivity_draws"]),
            max(figures["selectivity_draws"]),
            len(figures["selectivity_draws"]),
            CONTROLS.get(figures["selectivity_control"], figures["selectivity_control"]),
            figures["selectivity_picked"],
        )
        for stage in results(record, "trial").values()
        for split, figures in stage.items()
        if figures.get("selectivity_draws") and figures.get("selectivity_low") is not None
    ]
    if not lines:
        return None
    return Table("Selectivity: aligned minus the strongest prototype control", columns, tuple(lines), SELECTIVITY_NOTE)


def interchange(record: Document) -> list[Table]:
    """Interchange interventions on each split, pairs with different labels first."""
    tables = []
    for split, stage in results(record, "interchange").items():
        lines = [
            {
                "set": line["set"],
                "graph": line["control"],
                "pairs": line["pairs"],
                "of labels": line["among"],
                "coverage": rate(line, "coverage"),
                "IIA": rate(line, "iia"),
                "base label": line["base_label"],
                "source label": line["source_label"],
                "undecided wrong": line["iia_undecided_wrong"],
                "units": line["units"],
                "units changed": line["units_changed"],
            }
            for line in stage.get("rows", [])
            if line["among"] != "all" and line["pairs"]
        ]
        tables.append(Table.of_rows(f"Interchange interventions on {split}", lines, note=INTERCHANGE_NOTE))
    return tables


def edges(record: Document) -> list[Table]:
    """Surviving edges on each split, by layers."""
    return [
        Table.of_rows(f"Trials of edges on {split}", stage["summary"], titles=EDGE_TITLES, note=edges_note(stage))
        for split, stage in results(record, "edges_tried").items()
    ]


def minimal(record: Document) -> list[Table]:
    """Sizes of minimal interventions on each split, by method."""
    keys = ["method", "stage", "success", "success_low", "success_high", "n", "compared"]
    keys += ["median", "median_low", "median_high", "mean", "tried", "exact"]
    return [
        Table.of_rows(
            f"Minimal interventions on {split}",
            [{key: _spaced(line.get(key)) for key in keys} for line in stage["rows"]],
            titles={"median": "median size", "mean": "mean size", "exact": "known smallest"},
            note=MINIMAL_NOTE,
        )
        for split, stage in results(record, "minimal").items()
    ]


def _spaced(value: Any) -> Any:
    return value.replace("_", " ") if isinstance(value, str) else value


def words(record: Document) -> list[str]:
    """Sentences about each stage."""
    sentences = []
    for stage, head in (("interchange", "Interchange. "), ("edges_tried", ""), ("minimal", "")):
        for split in results(record, stage).values():
            lines = [line.rstrip(".") for line in str(split.get("words") or "").split("\n") if line]
            if lines:
                sentences.append(head + " ".join(f"{line[:1].upper()}{line[1:]}." for line in lines))
    return sentences


EDGE_TITLES = {
    "interventional_all": "on all",
    "survived_all": "survived on all",
    "neurons_set_mean": "neurons set",
    "neurons_changed_mean": "neurons changed",
    "before": "rate before",
    "how": "forced",
}
EDGES_NOTE = (
    "Edges from a layer to a later layer or to a label; the contrapositive gets the same verdict. The antecedent is "
    "forced on the held-out examples on which it does not hold: alone, with all that it implies within its layer "
    "(closure), or that without itself (rest); where as many edges survive with rest, the antecedent adds nothing. "
    "observational: how often the consequent holds where the antecedent holds. "
)
BOTH_FALSE_NOTE = (
    "interventional: how often it holds after forcing, on the examples on which it did not hold before either; on all: "
    "on all examples without the antecedent; inflation: the difference, which is due to base rates; rate before: on "
    "all of these before forcing. tested: on at least 20 examples on which neither end holds. survived: the lower end "
    "of the 95 % interval of the interventional rate reaches the threshold, and more examples gain the consequent than "
    "lose it (McNemar, Benjamini & Hochberg at 0.05); survived on all: edges that would by the rate on all. Edges "
    "within a layer are constraints and are not forced."
)
ANTECEDENT_FALSE_NOTE = (
    "interventional: where it is forced; rate before: on the same examples before forcing. tested: on at least 20 such "
    "examples. survived: the lower end of the 95 % interval of the interventional rate reaches the threshold, and the "
    "change is significant (McNemar, Benjamini & Hochberg at 0.05). This run is of an earlier version: its examples "
    "include those on which the consequent held before, so base rates inflate these rates. Edges within a layer are "
    "constraints and are not forced."
)


def edges_note(stage: Document) -> str:
    """How the edges of a stage were judged, by its rule.

    That of earlier versions if it names none.
    """
    rule = stage.get("rule", ANTECEDENT_FALSE)
    return EDGES_NOTE + (ANTECEDENT_FALSE_NOTE if rule == ANTECEDENT_FALSE else BOTH_FALSE_NOTE)
