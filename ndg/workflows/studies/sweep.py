"""`align.py sweep`: every alpha and beta, over one training or several, on validation and held-out examples.

Of the alphas the largest is taken at which Q aligns at least `sweep.goal` of the validation examples; the held-out
figures stand beside it and choose nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ndg.abstraction.trial import TrialSettings, trials
from ndg.errors import ConfigError
from ndg.interventions.cache import Cache
from ndg.report import row_table
from ndg.runs.record import RunRecord
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.study_record import Findings, logged

Q = "Q"
ENDS = {"selectivity": ("selectivity_low", "selectivity_high")}
NOTE = (
    "Q: aligned, random booleans and the class prototype (the better of its two controls, picked on validation) set as "
    "many neurons; selectivity is aligned minus that prototype, with the paired 95 % interval. set, changed: neurons "
    "named, and those among them that had the other value."
)


def run(prepared: Sequence[Prepared]) -> list[tuple[RunRecord, Findings]]:
    """The sweep over all trainings of each experiment, as one run of each."""
    groups: dict[str, list[Prepared]] = {}
    for each in prepared:
        if "validation" not in each.subject.loaders:
            raise ConfigError(
                "a sweep takes an alpha by validation examples; there are none; give a loader named validation"
            )
        groups.setdefault(each.experiment.training_digest, []).append(each)
    return [_group(group) for group in groups.values()]


def _group(group: Sequence[Prepared]) -> tuple[RunRecord, Findings]:
    first, goal = group[0], group[0].target.experiment.sweep.goal

    def work(one: object) -> Findings:
        lines = [line for prepared in group for line in _lines(prepared)]
        chosen = [_chosen(lines, prepared.target.id, goal) for prepared in group]
        held_out = first.subject.held_out
        shown = [{**line, "alpha": f"{line['alpha']:g}", "beta": f"{line['beta']:g}"} for line in lines]
        title = f"{first.target.experiment.name}: Q over alpha and beta"
        table = row_table.table(title, shown, ends=ENDS, leave=("run",), note=NOTE)
        words = [_words(line, lines, goal, held_out) for line in chosen]
        results = {"goal": goal, "chosen": chosen, "rows": lines}
        return Findings(results, [table], {"sweep.csv": lines}, words)

    parents = [prepared.target.id for prepared in group[1:]]
    return logged("sweep", first, work, f"Alpha and beta of {first.target.experiment.name}", parents)


def _lines(prepared: Prepared) -> list[dict[str, Any]]:
    """A row for each alpha, beta and split, validation first."""
    experiment, subject = prepared.target.experiment, prepared.subject
    splits = dict.fromkeys(["validation", subject.held_out])
    found = []
    alphas = experiment.sweep.alphas
    for alpha, graph in zip(alphas, prepared.sweep(prepared.bits["train"], alphas), strict=True):
        judged = graph.held_out(prepared.bits[subject.held_out])
        for beta in experiment.sweep.betas:
            picking = None
            for split in splits:
                result = trials(
                    subject.network,
                    graph,
                    subject.loaders[split],
                    [Q],
                    fit=subject.loaders["train"],
                    settings=TrialSettings(prepared.trial_layer, experiment.trial.values, beta, split=split),
                    options=prepared.options(experiment.trial.seed),
                    cache=prepared.caches.setdefault(split, Cache()),
                )[Q]
                picking = picking or result
                figures = result.picked(picking).to_dict()
                found.append(
                    {
                        "run": prepared.target.id,
                        "seed": experiment.seed,
                        "alpha": alpha,
                        "beta": beta,
                        "implications": len(graph),
                        "precision": judged.precision,
                        "split": split,
                        **{key: figures[key] for key in ("aligned", "aligned_low", "aligned_high")},
                        "prototype": _control(figures, figures["selectivity_control"]),
                        "random": _control(figures, "random"),
                        **{key: figures[key] for key in ("selectivity", "selectivity_low", "selectivity_high")},
                        "set": figures["neurons_set"],
                        "changed": figures["neurons_changed"],
                        "no_ancestors": len(figures["no_ancestors"]),
                        "n": figures["n"],
                    }
                )
    return found


def _control(figures: dict[str, Any], name: str | None) -> float | None:
    return None if name is None else figures["controls"][name]["aligned"]


def _chosen(lines: Sequence[dict[str, Any]], run: str, goal: float) -> dict[str, Any]:
    """The largest alpha of a run at which Q aligns enough of the validation examples, walking forward only, or the
    alphas that were tried."""
    mine = [line for line in lines if line["run"] == run and line["split"] == "validation"]
    beta = max(line["beta"] for line in mine)
    enough = [line for line in mine if line["beta"] == beta and line["set"] and (line["aligned"] or 0) >= goal]
    best = max(enough, key=lambda line: line["alpha"], default=None)
    return {"run": run, "beta": beta, "alpha": None if best is None else best["alpha"]}


def _words(chosen: dict[str, Any], lines: Sequence[dict[str, Any]], goal: float, held_out: str) -> str:
    if chosen["alpha"] is None:
        return f"{chosen['run']}: at no alpha does Q align {goal:.0%} of the validation examples."
    [there] = [
        line
        for line in lines
        if all(line[key] == chosen[key] for key in ("run", "alpha", "beta")) and line["split"] == held_out
    ]
    if not there["n"] or there["selectivity_low"] is None:
        return f"{chosen['run']}: alpha {chosen['alpha']:g}; the network predicts no example of {held_out} correctly."
    return (
        f"{chosen['run']}: alpha {chosen['alpha']:g} is the largest at which Q aligns {goal:.0%} of the validation "
        f"examples; on {held_out} it aligns {there['aligned']:.3f} [{there['aligned_low']:.3f}, "
        f"{there['aligned_high']:.3f}] of {there['n']:,}, random booleans {there['random']:.3f}, the class prototype "
        f"{there['prototype']:.3f}, setting {there['set']:.1f} neurons of which {there['changed']:.1f} change: the "
        f"graph's choice is {_than(there)} the class prototype of the same size."
    )


def _than(line: dict[str, Any]) -> str:
    """How the graph's choice compares with the prototype, by the paired interval of the difference."""
    low, high = line["selectivity_low"], line["selectivity_high"]
    return "better than" if low > 0 else "worse than" if high < 0 else "not better than"
