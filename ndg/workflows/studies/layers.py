"""`align.py layers`: the graph within and between two layers of a network."""

from __future__ import annotations

from collections.abc import Sequence

from ndg.comparison.layers import of_graph
from ndg.comparison.resampling import independent
from ndg.errors import ConfigError
from ndg.runs.record import RunRecord
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.study_record import Findings, edges_table, logged, untried, with_layers


def run(prepared: Sequence[Prepared]) -> list[tuple[RunRecord, Findings]]:
    """Log the edges within and between the layers of each network. Raises ConfigError without two layers."""
    return [_study(with_layers(network, two_layers(network))) for network in map(untried, prepared)]


def _study(prepared: Prepared) -> tuple[RunRecord, Findings]:
    experiment, held_out = prepared.target.experiment, prepared.subject.held_out

    def work(run: object) -> Findings:
        shuffled = prepared.mine(independent(prepared.bits["train"], experiment.seed))
        graph = prepared.graph
        result = of_graph(graph, prepared.bits[held_out], experiment.seed, shuffled)
        table = edges_table(f"{experiment.name}: edges within layers and between them", result.rows())
        return Findings(result.to_dict(), [table], {"layers.csv": result.rows()})

    return logged("layers", prepared, work, f"Layers of {experiment.name}")


def two_layers(prepared: Prepared) -> list[str]:
    """The latent and second layer of a network. Raises ConfigError if it names fewer and no two are given."""
    network, named = prepared.subject.network, prepared.target.experiment.extract.layers
    own = [str(path) for name in ("latent_layer", "second_layer") if (path := getattr(network, name, None))]
    if len(named) < 2 and len(own) < 2:
        raise ConfigError(
            f"a graph between layers needs two; {type(network).__name__} names {', '.join(own) or 'none'} and "
            f"extract.layers are {', '.join(named) or 'not set'}; name two with --layers FIRST SECOND"
        )
    return own
