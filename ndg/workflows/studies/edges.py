"""`align.py edges`: every edge of a graph over several layers on trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ndg.abstraction.edges import EdgeSettings, EdgeTrials, try_edges
from ndg.abstraction.interchange import InterchangeSettings
from ndg.abstraction.interchange.unfolding import UnfoldingResult, unfolding
from ndg.errors import ConfigError
from ndg.report import row_table
from ndg.report.tables import Table
from ndg.report.trial_sections import EDGE_TITLES, EDGES_NOTE
from ndg.runs.record import RunRecord
from ndg.runs.run import Run
from ndg.workflows.pictures import GRAPH
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.layers import two_layers
from ndg.workflows.studies.study_record import Findings, logged, untried, with_layers

CAUSAL = "causal.json"
HOW = ("alone", "closure", "rest")
UNFOLDED_NOTE = (
    "Units of a base example take the activations of a source, and the rest of the network runs. Of the nodes behind, "
    "the graph decides those that follow from what was swapped and from the base's literals before; it agrees where "
    "the network has that value. base: the constant predictor that nothing changes, on the same nodes and pairs."
)


def run(prepared: Sequence[Prepared]) -> list[tuple[RunRecord, Findings]]:
    """The edges of each network's graph over its latent and its second layer, or over the layers that are asked for."""
    return [_one(with_layers(one, _layers(one))) for one in map(untried, prepared)]


def _layers(prepared: Prepared) -> list[str]:
    asked = prepared.target.experiment.extract.layers
    return asked if len(asked) == 1 else two_layers(prepared)


def _one(prepared: Prepared) -> tuple[RunRecord, Findings]:
    experiment, subject = prepared.target.experiment, prepared.subject
    if not subject.logits:
        raise ConfigError(f"edges are tried on a network with logits; {experiment.name} has none; mine its graph alone")

    def work(one: Run) -> Findings:
        graph = prepared.graph
        settings = experiment.trial
        values = "mean" if settings.values == "auto" else settings.values
        options = prepared.options(settings.seed)
        found = try_edges(
            subject.network,
            graph,
            subject.loaders[subject.held_out],
            fit=subject.loaders["train"],
            settings=EdgeSettings(HOW, values, settings.at_least, split=subject.held_out),
            options=options,
        )
        behind = unfolding(
            subject.network,
            graph,
            subject.loaders[subject.held_out],
            [graph.nodes.layers[0].name],
            settings=InterchangeSettings(pool=settings.pool, split=subject.held_out),
            options=options,
        )
        tried = graph.with_verdicts(found)
        one.artefact(tried.save(one.folder / GRAPH))
        one.artefact(tried.causal(at_least=settings.at_least).save(one.folder / CAUSAL))
        results = {**found.to_dict(), "unfolding": {**behind.to_dict(), "rows": behind.rows("layer")}}
        tables = [table(experiment.name, found), unfolded(behind)]
        files = {"edges.csv": found.rows(), "unfolding.csv": behind.rows("node")}
        return Findings(results, tables, files, [found.words(), behind.words()])

    return logged("edges", prepared, work, f"The edges of {experiment.name} on trial")


def table(name: str, found: EdgeTrials) -> Table:
    """The edges by the layers that they join."""
    lines: list[dict[str, Any]] = found.summary()
    return row_table.table(f"{name}: edges on trial", lines, titles=EDGE_TITLES, note=EDGES_NOTE)


def unfolded(found: UnfoldingResult) -> Table:
    """How often the graph, unfolded from what was swapped, agrees with the network, by layer."""
    title = f"The graph as a structural causal model, beside the network ({', '.join(found.layers)} swapped)"
    leave = ("layers", "split", "base_all", "base_all_low", "base_all_high")
    return row_table.table(title, found.rows("layer"), leave=leave, titles={"all": "values"}, note=UNFOLDED_NOTE)
