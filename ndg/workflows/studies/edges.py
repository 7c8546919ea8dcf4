"""`align.py edges`: every edge tested by setting its antecedent."""

from __future__ import annotations

from ndg.abstraction.edges import EdgeSettings, try_edges
from ndg.abstraction.interchange import InterchangeSettings
from ndg.abstraction.interchange.unfolding import unfolding
from ndg.errors import ConfigError
from ndg.report.tables import Table
from ndg.report.trial_sections import EDGE_TITLES, edges_note
from ndg.runs.run import Run
from ndg.workflows.pictures import GRAPH
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.layers import over_two_layers
from ndg.workflows.studies.study_record import Findings, per_network, with_layers

CAUSAL = "causal.json"
LEAVE = ("layers", "split", "base_all", "base_all_low", "base_all_high")
HOW = ("alone", "closure", "rest")
UNFOLDED_NOTE = (
    "Units of a base example take the activations of a source example, and the rest of the network runs. The graph "
    "predicts the later nodes that follow from the swapped units and from the base's earlier literals; it agrees if "
    "the network has the predicted value. base: the constant prediction that nothing changes, on the same nodes and "
    "pairs."
)


def ready(prepared: Prepared) -> Prepared:
    """The network over two or the named layers. Raises ConfigError."""
    named = prepared.experiment.extract.layers
    prepared = with_layers(prepared, named) if len(named) == 1 else over_two_layers(prepared)
    if not prepared.subject.logits:
        raise ConfigError(
            f"the study edges needs a network with logits; {prepared.experiment.name} has none; mine its graph only"
        )
    return prepared


@per_network("edges", "The edges of {} on trial", ready)
def run(prepared: Prepared, run: Run) -> Findings:
    """Test the edges of the graph of a network."""
    subject, graph, settings = prepared.subject, prepared.graph, prepared.experiment.trial
    loader, split, options = subject.loaders[subject.held_out], subject.held_out, prepared.options(settings.seed)
    values = "mean" if settings.values == "auto" else settings.values
    trials = try_edges(
        subject.network,
        graph,
        loader,
        fit=subject.loaders["train"],
        settings=EdgeSettings(HOW, values, settings.at_least, split=split),
        options=options,
    )
    layers, sources = [graph.nodes.layers[0].name], InterchangeSettings(pool=settings.pool, split=split)
    unfolded = unfolding(subject.network, graph, loader, layers, settings=sources, options=options)
    judged, by_layer = graph.with_verdicts(trials), unfolded.rows("layer")
    run.artefact(judged.save(run.folder / GRAPH))
    run.artefact(judged.causal(at_least=settings.at_least).save(run.folder / CAUSAL))
    title = f"{prepared.experiment.name}: edges on trial"
    beside = f"The graph as a structural causal model, beside the network ({', '.join(unfolded.layers)} swapped)"
    tables = [
        Table.of_rows(title, trials.summary(), titles=EDGE_TITLES, note=edges_note(trials.verdicts.facts)),
        Table.of_rows(beside, by_layer, leave=LEAVE, titles={"all": "values"}, note=UNFOLDED_NOTE),
    ]
    results = {**trials.to_dict(), "unfolding": {**unfolded.to_dict(), "rows": by_layer}}
    files = {"edges.csv": trials.rows(), "unfolding.csv": unfolded.rows("node")}
    return Findings(results, tables, files, [trials.words(), unfolded.words()])
