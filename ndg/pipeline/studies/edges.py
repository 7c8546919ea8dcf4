"""`align.py edges`: every edge of a graph over several layers on trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ndg.abstraction.edges import EdgeTrials, try_edges
from ndg.errors import ConfigError
from ndg.pipeline.pictures import GRAPH
from ndg.pipeline.prepared import Prepared
from ndg.pipeline.studies.findings import Findings, logged, with_layers
from ndg.pipeline.studies.layers import two_layers
from ndg.report import rows
from ndg.report.tables import Table
from ndg.report.tried import EDGE_TITLES, EDGES_NOTE
from ndg.runs.record import RunRecord
from ndg.runs.run import Run

CAUSAL = "causal.json"
HOW = ("alone", "closure", "rest")


def run(prepared: Sequence[Prepared]) -> list[tuple[RunRecord, Findings]]:
    """The edges of each network's graph over its latent and its second layer, or over the layers that are asked for."""
    return [_one(with_layers(one, _layers(one))) for one in prepared]


def _layers(prepared: Prepared) -> list[str]:
    asked = prepared.target.experiment.extract.layers
    return asked if len(asked) == 1 else two_layers(prepared)


def _one(prepared: Prepared) -> tuple[RunRecord, Findings]:
    experiment, subject = prepared.target.experiment, prepared.subject
    if not subject.logits:
        raise ConfigError(f"edges are tried on a network with logits; {experiment.name} has none; mine its graph alone")

    def work(one: Run) -> Findings:
        graph = prepared.graphs[prepared.alphas[0]]
        settings = experiment.trial
        found = try_edges(
            subject.network,
            graph,
            subject.loaders[subject.held_out],
            fit=subject.loaders["train"],
            values="mean" if settings.values == "auto" else settings.values,
            how=HOW,
            at_least=settings.at_least,
            seed=settings.seed,
            split=subject.held_out,
            executor=prepared.executor,
            ray_address=prepared.address,
            **prepared.passes,
        )
        tried = graph.with_verdicts(found)
        one.artefact(tried.save(one.folder / GRAPH))
        one.artefact(tried.causal(at_least=settings.at_least).save(one.folder / CAUSAL))
        return Findings(found.to_dict(), [table(experiment.name, found)], {"edges.csv": found.rows()}, [found.words()])

    return logged("edges", prepared, work, f"The edges of {experiment.name} on trial")


def table(name: str, found: EdgeTrials) -> Table:
    """The edges by the layers that they join."""
    lines: list[dict[str, Any]] = found.summary()
    return rows.table(f"{name}: edges on trial", lines, titles=EDGE_TITLES, note=EDGES_NOTE)
