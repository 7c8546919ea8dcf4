"""`align.py causal`: the graph that recombined examples give, with its controls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ndg import seeds
from ndg.causal.accuracy import AccuracySettings, interchange_accuracy
from ndg.causal.assembly import causal_graph
from ndg.causal.certificates import CertifySettings, smallest
from ndg.causal.control_sets import set_controls
from ndg.causal.factorial import effects
from ndg.causal.forcing import ForcedEffects, ForcingSettings, forced_effects
from ndg.causal.later import later_layers
from ndg.causal.recombination import INDEPENDENT, MIX, recombine
from ndg.causal.sufficient import RANDOM, RARE, SetSettings, SufficientSets, common_literals, sufficient_sets
from ndg.discovery import mine
from ndg.errors import LayerError
from ndg.extraction import extract
from ndg.graph.votes import Votes
from ndg.nodes import LABEL
from ndg.progress import log
from ndg.report.explorer.page import explore
from ndg.report.tables import Table
from ndg.runs.run import Run
from ndg.workflows.pictures import EXPLORER, GRAPH
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.causal_pictures import pictures
from ndg.workflows.studies.controls import mining_of
from ndg.workflows.studies.hidden_votes import HiddenVotes, hidden_votes
from ndg.workflows.studies.study_record import Findings, per_network, with_validation

LONGEST = 40
"""Members of a label's order from which the shortest proved beginning is taken."""

LARGEST = 200
"""Effects in the table."""

SAMPLE, EXAMPLES = 16, 512
"""Units that are forced, for comparison with their factorial effects, and examples on which they are."""

ACCURACY, PROOFS = AccuracySettings(), CertifySettings()
HIDDEN, FORCED = SetSettings(), SetSettings(at_most=14)

NOTE = (
    "Pairs of held-out examples that the network labels differently; the base takes a uniformly drawn number of units "
    "from the source. iia: share of pairs whose label under the interchange is predicted; neither: of those whose "
    "outcome is neither label; lead: of the votes over this row; intervals are 95 %, over bases. coverage, covered: "
    "share decided at the margin chosen on validation, and the iia of these."
)

BESIDE = (
    "Held-out examples of other labels; each set and prototype is to give them its label. equal size: as many literals "
    "as the set; equal changes: literals in the order of the prototype until as many booleans change as the set "
    "changes. set, changed: literals set and booleans changed on average; lead: of the sets over this row, 95 % "
    "interval over examples."
)


WITH_VALIDATION = with_validation("votes choose their margin on validation examples")


@per_network("causal", "Causal graph of {}", WITH_VALIDATION)
def run(prepared: Prepared, run: Run) -> Findings:
    """Effects, votes, sufficient sets and certificates of the layer on trial."""
    subject, layer = prepared.subject, prepared.trial_layer
    network, loaders = subject.network, subject.loaders
    options = prepared.options(prepared.experiment.trial.seed)
    train, held_out = loaders["train"], loaders[subject.held_out]
    later = later_layers(network, train, layer)
    plain = extract(network, train, [layer, *later[:1]], settings=prepared.reading, options=options)
    independent = recombine(network, train, layer, INDEPENDENT, ACCURACY.fit, like=plain, options=options)
    found = effects(independent, layer, plain)
    graph = mine(plain, **mining_of(prepared))
    units = plain.nodes.slice(layer)
    sample = seeds.generator(options.seed, "forced units").permutation(units.stop - units.start)[:SAMPLE]
    some = ForcingSettings(sorted(sample.tolist()), examples=EXAMPLES)
    true = forced_effects(network, graph, train, held_out, found, settings=some, options=options)
    accuracy = interchange_accuracy(
        network, train, loaders["validation"], held_out, layer, like=plain, settings=ACCURACY, options=options
    )
    behind = common_literals(plain, later[0], RARE) if later else []
    hidden = sufficient_sets(network, graph, train, held_out, found, behind, settings=HIDDEN, options=options)
    at_random = replace(HIDDEN, order=RANDOM)
    control = sufficient_sets(network, graph, train, held_out, found, behind, settings=at_random, options=options)
    labels = [f"{LABEL}:{label}" for label in range(graph.nodes.labels)]
    forced = sufficient_sets(network, graph, train, held_out, found, labels, settings=FORCED, options=options)
    prototypes = set_controls(network, graph, train, held_out, forced, options=options)
    behind_votes: list[HiddenVotes] = []
    if later:
        own = replace(options, seed=seeds.integer(options.seed, "votes of the layer behind") % 2**32)
        mixes = recombine(network, train, layer, MIX, ACCURACY.fit // 4, like=plain, options=own)
        others = recombine(network, held_out, layer, MIX, ACCURACY.pairs // 2, like=plain, options=own)
        behind_votes = [hidden_votes(mixes, others, plain, later[0])]
    causal = causal_graph(graph, [hidden], [accuracy.votes, *(each.votes for each in behind_votes)])
    run.artefact(causal.save(run.folder / GRAPH))
    named = prepared.experiment.name
    words = [f"{named}: {accuracy.words()}", found.words(), true.words(), _signs(true, accuracy.votes)]
    words += [hidden.words(), control.words()] if behind else []
    words += [each.words() for each in behind_votes]
    words += [forced.words(), prototypes.words()]
    tables = [
        Table.of_rows(f"{named}: interchange accuracy of votes of {layer}", accuracy.rows(), note=NOTE),
        Table.of_rows(f"{named}: literals of {layer} that force a label", forced.rows()),
        Table.of_rows(f"{named}: these sets beside class prototypes", prototypes.rows(), note=BESIDE),
    ]
    results: dict[str, Any] = {
        "interchange_accuracy": accuracy.to_dict(),
        "effects": {"n": found.n, "significant": int(found.significant().sum())},
        "forced_effects": {**true.context(), "sign_survival": list(true.sign_survival(accuracy.votes))},
        "hidden_sets": _counts(hidden),
        "hidden_sets_at_random": _counts(control),
        "hidden_votes": [each.to_dict() for each in behind_votes],
        "causal_graph": {"digest": causal.digest, "conjunctions": len(causal.conjunctions)},
        "label_sets": forced.to_dict(),
        "set_controls": prototypes.to_dict(),
    }
    files: dict[str, Any] = {
        "interchange_accuracy.csv": accuracy.rows(),
        "effects.csv": found.rows(LARGEST),
        "forced_effects.csv": true.rows(),
        "votes.csv": accuracy.votes.rows(),
        "hidden_sets.csv": hidden.rows(),
        "conjunctions.csv": causal.conjunctions_frame().to_dict("records"),
        "label_sets.csv": forced.rows(),
        "set_controls.csv": prototypes.rows(),
    }
    try:
        orders = {label: accuracy.votes.order(label)[:LONGEST] for label in range(graph.nodes.labels)}
        proofs = smallest(network, graph, train, layer, orders, settings=PROOFS, options=options)
    except LayerError as error:
        log.info(f"no certificates: {error}")
    else:
        words.append(proofs.words())
        tables.append(Table.of_rows(f"{named}: literals of {layer} that are proved to decide a label", proofs.rows()))
        results["certificates"] = proofs.to_dict()
        files["certificates.csv"] = proofs.rows()
    title = f"Causal graph of {named}"
    explorer = explore(causal, run.folder / EXPLORER, title=title)
    run.artefact(explorer)
    drawn = pictures(causal, title, prepared, run)
    return Findings(results, tables, files, words, drawn, explorer.read_text(encoding="utf-8"))


def _signs(true: ForcedEffects, votes: Votes) -> str:
    right, of, low, high = true.sign_survival(votes)
    return (
        f"Of the stronger half of the votes of these units, {right} of {of} have the sign of the effect of forcing "
        f"their unit on that logit (95 % interval {low:.3f} to {high:.3f})."
    )


def _counts(sets: SufficientSets) -> dict[str, Any]:
    found, survive = ([getattr(each, name) for each in sets.sets] for name in ("found", "survives"))
    return {**sets.context(), "targets": len(sets.sets), "found": sum(found), "survive": sum(survive)}
