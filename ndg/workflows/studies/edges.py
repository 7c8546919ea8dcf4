"""`align.py edges`: every edge of a graph over several layers, tested by setting its antecedent."""

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
    "Units of a base example take the activations of a source example, and the rest of the network runs. The graph "
    "predicts the later nodes that follow from the swapped units and from the base's earlier literals; it agrees if "
    "the network has the predicted value. base: the constant prediction that nothing changes, on the same nodes and "
    "pairs."
)


def run(prepared: Sequence[Prepared]) -> list[tuple[RunRecord, Findings]]:
    """Test the edges over the latent and the second layer of each network, or over the named layers."""
    return [_study(with_layers(network, _layers(network))) for network in map(untried, prepared)]


def _layers(prepared: Prepared) -> list[str]:
    layers = prepared.target.experiment.extract.layers
    return layers if len(layers) == 1 else two_layers(prepared)


def _study(prepared: Prepared) -> tuple[RunRecord, Findings]:
    experiment, subject = prepared.target.experiment, prepared.subject
    if not subject.logits:
        raise ConfigError(
            f"the study edges needs a network with logits; {experiment.name} has none; mine its graph only"
        )

    def work(run: Run) -> Findings:
        graph = prepared.graph
        settings = experiment.trial
        values = "mean" if settings.values == "auto" else settings.values
        options = prepared.options(settings.seed)
        trials = try_edges(
            subject.network,
            graph,
            subject.loaders[subject.held_out],
            fit=subject.loaders["train"],
            settings=EdgeSettings(HOW, values, settings.at_least, split=subject.held_out),
            options=options,
        )
        unfolding_result = unfolding(
            subject.network,
            graph,
            subject.loaders[subject.held_out],
            [graph.nodes.layers[0].name],
            settings=InterchangeSettings(pool=settings.pool, split=subject.held_out),
            options=options,
        )
        judged = graph.with_verdicts(trials)
        run.artefact(judged.save(run.folder / GRAPH))
        run.artefact(judged.causal(at_least=settings.at_least).save(run.folder / CAUSAL))
        results = {
            **trials.to_dict(),
            "unfolding": {**unfolding_result.to_dict(), "rows": unfolding_result.rows("layer")},
        }
        tables = [table(experiment.name, trials), unfolded(unfolding_result)]
        files = {"edges.csv": trials.rows(), "unfolding.csv": unfolding_result.rows("node")}
        return Findings(results, tables, files, [trials.words(), unfolding_result.words()])

    return logged("edges", prepared, work, f"The edges of {experiment.name} on trial")


def table(name: str, trials: EdgeTrials) -> Table:
    """Table of the edges by pair of layers."""
    lines: list[dict[str, Any]] = trials.summary()
    return row_table.table(f"{name}: edges on trial", lines, titles=EDGE_TITLES, note=EDGES_NOTE)


def unfolded(result: UnfoldingResult) -> Table:
    """Table of the agreement between the unfolded graph and the network, by layer."""
    title = f"The graph as a structural causal model, beside the network ({', '.join(result.layers)} swapped)"
    leave = ("layers", "split", "base_all", "base_all_low", "base_all_high")
    return row_table.table(title, result.rows("layer"), leave=leave, titles={"all": "values"}, note=UNFOLDED_NOTE)
