"""`align.py layers`: the graph over two layers of one network, within each and between them."""

from __future__ import annotations

from collections.abc import Sequence

from ndg.comparison.layers import of_graph
from ndg.comparison.resampling import independent
from ndg.errors import ConfigError
from ndg.runs.record import RunRecord
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.study_record import Findings, edges_table, logged, untried, with_layers


def run(prepared: Sequence[Prepared]) -> list[tuple[RunRecord, Findings]]:
    """What there is within and between the layers of each network. ConfigError where there are not two."""
    return [_one(with_layers(one, two_layers(one))) for one in map(untried, prepared)]


def _one(prepared: Prepared) -> tuple[RunRecord, Findings]:
    experiment, held_out = prepared.target.experiment, prepared.subject.held_out

    def work(one: object) -> Findings:
        shuffled = prepared.mine(independent(prepared.bits["train"], experiment.seed))
        graph = prepared.graph
        found = of_graph(graph, prepared.bits[held_out], experiment.seed, shuffled)
        table = edges_table(f"{experiment.name}: edges within layers and between them", found.rows())
        return Findings(found.to_dict(), [table], {"layers.csv": found.rows()})

    return logged("layers", prepared, work, f"Layers of {experiment.name}")


def two_layers(prepared: Prepared) -> list[str]:
    """The latent and the second layer that a network names; ConfigError where it names fewer, and none are asked."""
    network, asked = prepared.subject.network, prepared.target.experiment.extract.layers
    found = [str(path) for name in ("latent_layer", "second_layer") if (path := getattr(network, name, None))]
    if len(asked) < 2 and len(found) < 2:
        raise ConfigError(
            f"a graph between layers takes two; {type(network).__name__} names {', '.join(found) or 'none'} and "
            f"extract.layers are {', '.join(asked) or 'not set'}; name two with --layers FIRST SECOND"
        )
    return found
