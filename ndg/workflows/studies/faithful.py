"""`align.py faithful`: the network trained towards its votes, with controls."""

from __future__ import annotations

from dataclasses import replace

from ndg import seeds
from ndg.causal.faithful import train_faithful
from ndg.causal.recombination import INDEPENDENT, MIX, recombine
from ndg.causal.towards import FaithfulSettings
from ndg.causal.voting import votes
from ndg.extraction import extract
from ndg.models import checkpoint
from ndg.report.tables import Table
from ndg.runs.run import Run
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.study_record import Findings, per_network
from ndg.workflows.targets import run_folder

MODEL, GRAPH = "model.safetensors", "graph_votes.json"
EDGES = 100
"""Votes of the graph, as many for each label."""

SETTINGS = FaithfulSettings()

NOTE = (
    "Every network is trained as long. iia: share of held-out interchanges whose label is predicted by the votes that "
    "the network was trained towards (of the original network and of real examples only: by those of the first row); "
    "again: by as many votes mined from the trained network; neither: of pairs whose outcome is neither label. Frozen: "
    "what gives the latents is not trained. Intervals are 95 %, over bases."
)


@per_network("faithful", "Training of {} towards its votes")
def run(prepared: Prepared, run: Run) -> Findings:
    """Train a network towards its votes, mine again, and compare with controls."""
    experiment, subject, layer = prepared.experiment, prepared.subject, prepared.trial_layer
    network, train = subject.network, subject.loaders["train"]
    options = prepared.options(experiment.trial.seed)
    plain = extract(network, train, [layer], settings=prepared.reading, options=options)
    parts = [
        recombine(network, train, layer, mode, n, like=plain, options=options)
        for mode, n in ((MIX, SETTINGS.fit - SETTINGS.fit // 4), (INDEPENDENT, SETTINGS.fit // 4))
    ]
    settings = replace(SETTINGS, per_label=max(EDGES // plain.nodes.labels, 1))
    graph = votes(parts, layer, per_label=settings.per_label)
    result = train_faithful(
        network,
        graph,
        train,
        subject.loaders[subject.held_out],
        like=plain,
        settings=settings,
        options=replace(options, seed=seeds.integer(experiment.seed, "faithful")),
    )
    trained = prepared.target.run  # a network that was trained here is written in the format of `ndg.load_model`
    description = {} if trained is None else checkpoint.read(run_folder(trained, prepared.where) / MODEL)[1]
    checkpoint.write(run.folder / MODEL, result.network.state_dict(), description | {checkpoint.BINARY: [layer]})
    run.artefact(run.folder / MODEL)
    run.artefact(result.votes.save(run.folder / GRAPH))
    tables = [Table.of_rows(f"{experiment.name}: training towards {graph.edges} votes", result.rows(), note=NOTE)]
    files = {"faithful.csv": result.rows(), "votes.csv": result.votes.rows()}
    results = result.to_dict()
    if result.certificates is not None:
        rows = files["certificates.csv"] = result.certificates.rows()
        tables.append(Table.of_rows(f"{experiment.name}: literals of {layer} that are proved to decide a label", rows))
        results["certificates"] = result.certificates.to_dict()
    return Findings(results, tables, files, [result.words()])
