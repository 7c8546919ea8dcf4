"""Tables that the commands print: plans, trainings, alignments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ndg.abstraction.verdict import better, larger, survives
from ndg.report.sections import held_out, rate
from ndg.report.tables import Column, Table
from ndg.runs.record import RunRecord


def _columns(*names: str) -> dict[str, Column]:
    """Columns titled by their names."""
    return {name: Column(name) for name in names}


def plans(planned: Sequence[Any]) -> Table:
    """Planned trainings, with seconds estimated from a few timed steps."""
    columns = {
        "name": Column("config", left=True),
        "train": Column("train", "examples"),
        **_columns("validation", "test", "parameters"),
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
    note = f"About {sum(plan.seconds for plan in planned):.0f} s in total; less if training stops early."
    return Table.of("to train", columns, rows, note=note)


def trained(records: Sequence[RunRecord]) -> Table:
    """Results of trainings. Validation chose the epoch; test was used once."""
    columns = {
        "run": Column("run", left=True),
        **_columns("seed", "epochs"),
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
        **_columns("nodes", "pairs"),
        "bytes": Column("packed", "bytes"),
        "seconds": Column("estimate", "s", digits=1),
    }
    return Table.of("to align", columns, [vars(plan) for plan in planned])


def score_plans(planned: Sequence[Any]) -> Table:
    """Planned scorings, a row for each method."""
    columns = {
        "name": Column("config", left=True),
        "network": Column("network", left=True),
        "method": Column("method", left=True),
        **_columns("layers", "examples"),
        "seconds": Column("estimate", "s", digits=1),
    }
    note = f"About {sum(plan.seconds for plan in planned):.1f} s in total."
    return Table.of("to score", columns, [vars(plan) for plan in planned], note=note)


def aligned(records: Sequence[RunRecord]) -> Table:
    """Alignment and control rates per network and intervention."""
    columns = {
        "name": Column("network", left=True),
        "rule": Column("criterion", left=True),
        **_columns("accuracy", "implications", "precision"),
        "intervention": Column("trial", left=True),
        "aligned": Column("aligned [95 %]"),
        "prototype": Column("prototype"),
        "better": Column("better", left=True),
        **_columns("random", "kept"),
        "set": Column("set", digits=1),
        "n": Column("n"),
    }
    rows = [row for record in records for row in _aligned(record)]
    title = f"on the {' and '.join(dict.fromkeys(row['split'] for row in rows))} split"
    if not any(row["intervention"] for row in rows):  # graphs without a trial
        columns = {name: columns[name] for name in ("name", "rule", "accuracy", "implications", "precision")}
        return Table.of(title, columns, rows, note=f"{NOTE.partition('. ')[0]}.")
    note = " ".join([NOTE, *_unimplied(records)])
    return Table.of(title, columns, rows, note=note)


def _prototype(figures: dict[str, Any]) -> float | None:
    """Rate of the prototype that the graph is compared with."""
    control = figures.get("selectivity_control")
    rate: float | None = figures["controls"][control]["aligned"] if control and figures["neurons_set"] else None
    return rate


def _better(figures: dict[str, Any]) -> str:
    """Whether the graph's choice is better than the prototype."""
    if not survives(figures):
        return "no verdict"
    beats = better(figures)
    return "–" if beats is None else "no" if not beats else "yes, larger" if larger(figures) else "yes"


def _unimplied(records: Sequence[RunRecord]) -> Iterator[str]:
    """Sentences about the classes that no literal implies."""
    names: dict[str, dict[str, None]] = {}
    for record in records:
        splits = record.figure("results.trial.q") or {}
        if count := max((len(figures["no_ancestors"]) for figures in splits.values()), default=0):
            some = f"{count} of {record.figure('results.data.classes')} classes"
            names.setdefault(some, {})[record["name"]] = None
    for some, of in names.items():
        yield f"{', '.join(of)}: no literal implies {some}; for these Q equals G.2."


NOTE = (
    "precision: mean precision of the implications on examples that they were not mined from. aligned: share of the n "
    "correctly classified examples whose prediction becomes a drawn other class when the neurons that the graph names "
    "are set (set: how many). trial: G.2, what the drawn class implies; G.1, that and the negation of what the true "
    "class implies; Q, what implies the drawn class, and all that follows. prototype: the same with the strongest "
    "class prototype, chosen on validation, which sets neurons to the usual booleans of that class and uses no edge. "
    "random: with as many random booleans. better: whether the 95 % interval of the difference to the prototype lies "
    "above 0, and p < .05 after Holm's correction for the interventions; larger: the graph changes over 1.1 times as "
    "many neurons. kept: share still correct when the layer is binarised and nothing is set; below "
    "trial.kept_at_least there is no verdict. The report of a run has every control."
)


def criterion(record: RunRecord) -> str:
    """Criterion of an align run, such as `paper 20`."""
    rule = dict(record.figure("results.graph.criterion") or {})
    name = str(rule.pop("name", ""))
    parameters = (f"{value:.8g}" if isinstance(value, int | float) else f"{value}" for value in rule.values())
    return " ".join([name, *parameters])


def _aligned(record: RunRecord) -> list[dict[str, Any]]:
    results = record["results"]

    def network(split: str) -> dict[str, Any]:
        return {
            "name": record["name"],
            "rule": criterion(record),
            "accuracy": ((results.get("accuracy") or {}).get(split) or {}).get("rate"),
            "implications": results["graph"]["implications"],
            "precision": results["edges"][split]["precision"],
        }

    if not results.get("trial"):
        split = held_out(record)
        return [network(split) | {"split": split, "intervention": ""}]
    rows: list[dict[str, Any]] = []
    for trial in results["trial"].values():
        split = "test" if "test" in trial else next(iter(trial))
        figures, controls = trial[split], trial[split]["controls"]
        rates = {"aligned": rate(figures, "aligned"), "random": controls["random"]["aligned"]}
        rows.append(
            (dict.fromkeys(network(split), "") if rows else network(split))
            | {
                "intervention": figures["intervention"],
                "split": figures["split"],
                **(rates if figures["neurons_set"] else {}),
                "prototype": _prototype(figures),
                "better": _better(figures),
                "kept": controls["binarise"]["unchanged"],
                "set": figures["neurons_set"],
                "n": figures["n"],
            }
        )
    return rows
