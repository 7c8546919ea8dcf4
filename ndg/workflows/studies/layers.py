"""`align.py layers`: the graph within and between two layers."""

from __future__ import annotations

from ndg.comparison.models import of_graph
from ndg.comparison.resampling import independent
from ndg.errors import ConfigError
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.study_record import Findings, edges_table, per_network, untried, with_layers


def over_two_layers(prepared: Prepared) -> Prepared:
    """The network with a graph over two layers. Raises ConfigError."""
    prepared = untried(prepared)
    network, named = prepared.subject.network, prepared.experiment.extract.layers
    own = [str(path) for name in ("latent_layer", "second_layer") if (path := getattr(network, name, None))]
    if len(named) < 2 and len(own) < 2:
        raise ConfigError(
            f"a graph between layers needs two; {type(network).__name__} names {', '.join(own) or 'none'} and "
            f"extract.layers are {', '.join(named) or 'not set'}; name two with --layers FIRST SECOND"
        )
    return with_layers(prepared, own)


@per_network("layers", "Layers of {}", over_two_layers)
def run(prepared: Prepared, run: object) -> Findings:
    """The edges within and between the layers of a network."""
    experiment, held_out = prepared.experiment, prepared.subject.held_out
    shuffled = prepared.mine(independent(prepared.bits["train"], experiment.seed))
    result = of_graph(prepared.graph, prepared.bits[held_out], experiment.seed, shuffled)
    table = edges_table(f"{experiment.name}: edges within layers and between them", result.rows())
    return Findings(result.to_dict(), [table], {"layers.csv": result.rows()})
