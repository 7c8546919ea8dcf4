"""`align.py sweep`: every alpha and beta, over one or more trainings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ndg.abstraction.trial import TrialSettings, trials
from ndg.abstraction.verdict import survives
from ndg.bits.matrix import BitMatrix
from ndg.errors import ConfigError
from ndg.graph.ndg import NDG
from ndg.interventions.cache import Cache
from ndg.report.tables import Table
from ndg.runs.record import RunRecord
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.study_record import Findings, logged

Q = "Q"
LEFT_OUT = ("run", "one_way", "precision_q1", "precision_q3")
"""Columns of the rows that the table leaves out."""
NOTE = (
    "Q: share aligned. random booleans and the class prototype (the strongest of its controls, chosen on validation) "
    "set, or change, as many neurons. selectivity: aligned minus prototype, with the paired 95 % interval. set: "
    "neurons set; changed: those of them that had the other value."
)


def run(prepared: Sequence[Prepared]) -> list[tuple[RunRecord, Findings]]:
    """Log one sweep per experiment, over all its trainings."""
    groups: dict[str, list[Prepared]] = {}
    for each in prepared:
        if "validation" not in each.subject.loaders:
            raise ConfigError(
                "a sweep chooses an alpha on validation examples; there are none; give a loader named validation"
            )
        groups.setdefault(each.experiment.training_digest, []).append(each)
    return [_group(group) for group in groups.values()]


def _group(group: Sequence[Prepared]) -> tuple[RunRecord, Findings]:
    first, goal, name = group[0], group[0].experiment.sweep.goal, group[0].experiment.name

    def work(run: object) -> Findings:
        lines = [line for prepared in group for line in _lines(prepared)]
        chosen = [_chosen(lines, prepared.target.id, goal) for prepared in group]
        held_out = first.subject.held_out
        shown = [{**line, "alpha": f"{line['alpha']:g}", "beta": f"{line['beta']:g}"} for line in lines]
        table = Table.of_rows(
            f"{name}: Q over alpha and beta", shown, leave=("run", "one_way", "precision_q1", "precision_q3"), note=NOTE
        )
        words = [_words(line, lines, goal, held_out) for line in chosen]
        results = {"goal": goal, "chosen": chosen, "rows": lines}
        return Findings(results, [table], {"sweep.csv": lines}, words)

    return logged("sweep", first, work, f"Alpha and beta of {name}", [prepared.target.id for prepared in group[1:]])


def _lines(prepared: Prepared) -> list[dict[str, Any]]:
    """Figures by alpha, beta and split, validation first."""
    experiment, subject = prepared.experiment, prepared.subject
    lines, alphas = [], experiment.sweep.alphas
    for alpha, graph in zip(alphas, prepared.sweep(prepared.bits["train"], alphas), strict=True):
        judged = graph.held_out(prepared.bits[subject.held_out])
        spread = _spread(graph, prepared.bits[subject.held_out])
        for beta in experiment.sweep.betas:
            validation = None
            for split in dict.fromkeys(["validation", subject.held_out]):
                result = trials(
                    subject.network,
                    graph,
                    subject.loaders[split],
                    [Q],
                    fit=subject.loaders["train"],
                    settings=TrialSettings(
                        prepared.trial_layer,
                        experiment.trial.values,
                        beta,
                        split=split,
                        kept_at_least=experiment.trial.kept_at_least,
                    ),
                    options=prepared.options(experiment.trial.seed),
                    cache=prepared.caches.setdefault(split, Cache()),
                )[Q]
                validation = validation or result
                figures = result.picked(validation).to_dict()
                control = figures["selectivity_control"]
                lines.append(
                    {
                        "run": prepared.target.id,
                        "seed": experiment.seed,
                        "alpha": alpha,
                        "beta": beta,
                        "implications": len(graph),
                        "precision": judged.precision,
                        **spread,
                        "split": split,
                        **{key: figures[key] for key in ("aligned", "aligned_low", "aligned_high")},
                        "prototype": control and figures["controls"][control]["aligned"],
                        "random": figures["controls"]["random"]["aligned"],
                        **{key: figures[key] for key in ("selectivity", "selectivity_low", "selectivity_high")},
                        "set": figures["neurons_set"],
                        "changed": figures["neurons_changed"],
                        "no_ancestors": len(figures["no_ancestors"]),
                        **{key: figures[key] for key in ("n", "kept", "kept_at_least")},
                    }
                )
    return lines


def _spread(graph: NDG, bits: BitMatrix) -> dict[str, Any]:
    """Quartiles of the held-out precision, and the number of implications whose converse does not hold."""
    precision = graph.evaluate(bits)["precision"].dropna()
    first, third = precision.quantile([0.25, 0.75]).tolist() if len(precision) else (None, None)
    tails, heads = graph.implications.antecedents, graph.implications.consequents
    pairs = set(zip(tails.tolist(), heads.tolist(), strict=True))
    one_way = sum((head, tail) not in pairs for tail, head in pairs)
    return {"one_way": one_way, "precision_q1": first, "precision_q3": third}


def _chosen(lines: Sequence[dict[str, Any]], run: str, goal: float) -> dict[str, Any]:
    """The largest alpha at which Q aligns enough validation examples."""
    own = [line for line in lines if line["run"] == run and line["split"] == "validation"]
    beta = max(line["beta"] for line in own)
    aligned = [line for line in own if line["beta"] == beta and line["set"] and (line["aligned"] or 0) >= goal]
    best = max(aligned, key=lambda line: line["alpha"], default=None)
    return {"run": run, "beta": beta, "alpha": None if best is None else best["alpha"]}


def _words(chosen: dict[str, Any], lines: Sequence[dict[str, Any]], goal: float, held_out: str) -> str:
    if chosen["alpha"] is None:
        return f"{chosen['run']}: at no alpha does Q align {goal:.0%} of the validation examples."
    [best] = [line for line in lines if line["split"] == held_out and chosen.items() <= line.items()]
    if not best["n"] or best["selectivity_low"] is None:
        return f"{chosen['run']}: alpha {chosen['alpha']:g}; the network predicts no example of {held_out} correctly."
    low, high = best["selectivity_low"], best["selectivity_high"]
    than = "better than" if low > 0 else "worse than" if high < 0 else "not better than"
    says = f"the graph's choice is {than} the strongest class prototype"
    if not survives(best):
        says = "no verdict, as binarising alone changes the network"
    return (
        f"{chosen['run']}: alpha {chosen['alpha']:g} is the largest at which Q aligns {goal:.0%} of the validation "
        f"examples; on {held_out} it aligns {best['aligned']:.3f} [{best['aligned_low']:.3f}, "
        f"{best['aligned_high']:.3f}] of {best['n']:,}, random booleans {best['random']:.3f}, the class prototype "
        f"{best['prototype']:.3f}, setting {best['set']:.1f} neurons of which {best['changed']:.1f} change; "
        f"{best['kept'] / best['n']:.3f} are kept by binarising alone: {says} (not corrected for the number of runs)."
    )
