"""Tables that the commands print: plans, trainings, alignments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ndg.abstraction.verdict import better, larger
from ndg.report.findings import held_out
from ndg.report.tables import Column, Interval, Table
from ndg.runs.record import RunRecord

CONTROLS = ("random", "prototype_random", "prototype_surest")


def plans(planned: Sequence[Any]) -> Table:
    """Planned trainings, with seconds estimated from a few timed steps."""
    columns = {
        "name": Column("config", left=True),
        "train": Column("train", "examples"),
        "validation": Column("validation"),
        "test": Column("test"),
        "parameters": Column("parameters"),
        "epochs": Column("epochs", "at most"),
        "seconds": Column("estimate", "s", digits=0),
    }
    rows = [
        {
            "name": plan.experiment.name,
            **plan.examples,
            "parameters": plan.parameters,
            "epochs": plan.experiment.train.epochs,
            "seconds": plan.seconds,
        }
        for plan in planned
    ]
    total = sum(plan.seconds for plan in planned)
    return Table.of("to train", columns, rows, note=f"About {total:.0f} s in total; less if training stops early.")


def trained(records: Sequence[RunRecord]) -> Table:
    """Results of trainings. Validation chose the epoch; test was used once."""
    columns = {
        "run": Column("run", left=True),
        "seed": Column("seed"),
        "epochs": Column("epochs"),
        "best_epoch": Column("best"),
        "validation_accuracy": Column("validation", "accuracy", digits=4),
        "test_accuracy": Column("test", "accuracy", digits=4),
        "seconds": Column("time", "s", digits=1),
    }
    rows = [{"run": record.id, "seed": record["seeds"]["seed"], **record["results"]["train"]} for record in records]
    return Table.of("trained", columns, rows)


def alignment_plans(planned: Sequence[Any]) -> Table:
    """Planned align runs."""
    columns = {
        "name": Column("config", left=True),
        "run": Column("trained run", left=True),
        "examples": Column("examples"),
        "forwards": Column("forward passes", "batches"),
        "nodes": Column("nodes"),
        "pairs": Column("pairs"),
        "bytes": Column("packed", "bytes"),
        "seconds": Column("estimate", "s", digits=1),
    }
    return Table.of("to align", columns, [plan.to_dict() for plan in planned])


def aligned(records: Sequence[RunRecord]) -> Table:
    """Alignment and control rates per network and intervention."""
    columns = {
        "name": Column("network", left=True),
        "rule": Column("criterion", left=True),
        "accuracy": Column("accuracy"),
        "implications": Column("implications"),
        "precision": Column("precision"),
        "intervention": Column("trial", left=True),
        "aligned": Column("aligned [95 %]"),
        "prototype_surest": Column("prototype"),
        "better": Column("better", left=True),
        "prototype_random": Column("any"),
        "random": Column("random"),
        "kept": Column("kept"),
        "set": Column("set", digits=1),
        "changed": Column("changed", digits=1),
        "surest_changed": Column("prototype's", digits=1),
        "n": Column("n"),
    }
    rows = [row for record in records for row in _aligned(record)]
    splits = dict.fromkeys(row["split"] for row in rows)
    if not any(row["intervention"] for row in rows):  # graphs without a trial
        columns = {name: columns[name] for name in ("name", "rule", "accuracy", "implications", "precision")}
        return Table.of(f"on the {' and '.join(splits)} split", columns, rows, note=f"{NOTE.partition('. ')[0]}.")
    note = " ".join([NOTE, *dict.fromkeys(filter(None, map(_unimplied, records)))])
    return Table.of(f"on the {' and '.join(splits)} split", columns, rows, note=note)


def _unimplied(record: RunRecord) -> str:
    """Sentence about the classes that no literal implies."""
    splits = record.figure("results.trial.q") or {}
    count = max((len(figures["no_ancestors"]) for figures in splits.values()), default=0)
    classes = record.figure("results.data.classes")
    return (
        f"{record['name']}: no literal implies {count} of {classes} classes; for these Q equals G.2." if count else ""
    )


NOTE = (
    "precision: mean precision of the implications on examples that they were not mined from. n: correctly classified "
    "examples. aligned: share of the n whose prediction becomes a drawn other class when the neurons named by the "
    "graph are set (set: how many; changed: how many had the other value). prototype: as many neurons, set to the "
    "majority booleans of that class without using the graph's edges, on the neurons where the majority is clearest "
    "(prototype's: how many changed). any: the same on random neurons. better: whether the 95 % interval of the "
    "difference to the better prototype, chosen on validation, lies above 0; larger: the graph changes over 1.1 times "
    "as many neurons. random: as many random booleans. kept: share still correct when the layer is binarised and "
    "nothing is set."
)


def criterion(record: RunRecord) -> str:
    """Criterion of an align run, such as `paper 20`."""
    rule = dict(record.figure("results.graph.criterion") or {})
    name = str(rule.pop("name", ""))
    return " ".join(
        [name, *(f"{value:.8g}" if isinstance(value, int | float) else f"{value}" for value in rule.values())]
    )


def _better(figures: dict[str, Any]) -> str:
    """Cell that compares the graph's choice with the better prototype."""
    is_better = better(figures)
    if is_better is None:
        return "–"
    return "no" if not is_better else "yes, larger" if larger(figures) else "yes"


def _aligned(record: RunRecord) -> list[dict[str, Any]]:
    results = record["results"]
    rows: list[dict[str, Any]] = []
    if not results.get("trial"):
        split = held_out(record)
        accuracy = (results.get("accuracy") or {}).get(split) or {}
        return [
            {
                "name": record["name"],
                "rule": criterion(record),
                "accuracy": accuracy.get("rate"),
                "implications": results["graph"]["implications"],
                "precision": results["edges"][split]["precision"],
                "split": split,
                "intervention": "",
            }
        ]
    for trial in results["trial"].values():
        split = "test" if "test" in trial else next(iter(trial))
        figures = trial[split]
        controls = figures["controls"]
        first = not rows
        interval = _interval(figures)
        rows.append(
            {
                "name": record["name"] if first else "",
                "rule": criterion(record) if first else "",
                "accuracy": results["accuracy"][split]["rate"] if first else "",
                "implications": results["graph"]["implications"] if first else "",
                "precision": results["edges"][split]["precision"] if first else "",
                "intervention": figures["intervention"],
                "split": figures["split"],
                "aligned": interval if figures["neurons_set"] else None,
                **{name: controls[name]["aligned"] if figures["neurons_set"] else None for name in CONTROLS},
                "better": _better(figures),
                "kept": controls["binarise"]["unchanged"],
                "set": figures["neurons_set"],
                "changed": figures["neurons_changed"],
                "surest_changed": controls["prototype_surest"]["neurons_changed"],
                "n": figures["n"],
            }
        )
    return rows


def _interval(figures: dict[str, Any]) -> Interval | None:
    if figures["aligned"] is None:
        return None
    return Interval(figures["aligned"], figures["aligned_low"], figures["aligned_high"])
