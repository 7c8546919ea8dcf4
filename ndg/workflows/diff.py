"""Graphs of several align runs beside each other: which edges they share, over examples and over trainings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ndg import extraction
from ndg.bits.matrix import BitMatrix
from ndg.comparison.difference import diff
from ndg.comparison.networks import reinitialised
from ndg.comparison.over_examples import bootstrap
from ndg.comparison.retraining import over_trainings
from ndg.comparison.units import Matching, match_units
from ndg.errors import ConfigError
from ndg.graph.ndg import NDG
from ndg.locations import Locations
from ndg.report import row_table
from ndg.report.tables import Table
from ndg.runs.record import RunRecord
from ndg.workflows.pictures import graph_of
from ndg.workflows.prepare import Prepared
from ndg.workflows.reload import prepared_of
from ndg.workflows.studies.controls import mining_of
from ndg.workflows.studies.study_record import Findings

ENDS = {
    "jaccard": ("low", "high"),
    "shuffled": ("shuffled_low", "shuffled_high"),
    "control": ("control_low", "control_high"),
    "share": ("low", "high"),
}
Control = tuple[NDG, Matching]
"""The graph of a re-initialised network, and its units with those of the first."""
NOTE = (
    "both, only a, only b: edges (an implication and its contrapositive are two). contradicting: p → q in a and p → ¬q "
    "in b. jaccard: both over all. shuffled: the same with the units of b in another order within their layers, which "
    "undoes the matching. control: a and a re-initialised network of the make of b, its units matched alike."
)


def compare(records: Sequence[RunRecord], where: Locations, *, match: bool = True, bootstraps: int = 0) -> Findings:
    """The graphs of two align runs or more, each beside the first; with `bootstraps`, the first over its examples too.

    Units of different networks are matched one to one where their booleans agree most on the training inputs of the
    first run. Raises ConfigError for fewer than two runs, or where networks to be matched cannot be read.
    """
    if len(records) < 2:
        raise ConfigError(f"graphs of two runs or more are compared; got {len(records)}")
    graphs = [graph_of(record) for record in records]
    seed = records[0]["seeds"]["seed"]
    prepared = prepared_of(records[0], where) if match or bootstraps else None
    bits = None if prepared is None else _bits(prepared, prepared, graphs[0])
    asked = prepared if match else None
    pairs = [_match(records, graphs, place, asked, bits, where) for place in range(1, len(records))]
    matches, controls = [one for one, _ in pairs], [other for _, other in pairs]
    results: dict[str, Any] = {"runs": [record.id for record in records]}
    tables: list[Table] = []
    words: list[str] = []
    files: dict[str, Any] = {}
    for place, (graph, matching, control) in enumerate(zip(graphs[1:], matches, controls, strict=True), start=1):
        beside = {} if control is None else {"control": control[0], "control_match": control[1]}
        found = diff(graphs[0], graph, matching, **beside, seed=seed)  # type: ignore[arg-type]
        title = f"a: {records[0].id}, b: {records[place].id}"
        tables.append(row_table.table(title, found.rows(), ends=ENDS, leave=("rounds",), note=NOTE))
        words.append(found.words())
        results[f"diff_{place}"] = found.to_dict()
        files[f"edges_{place}.csv"] = found.edges_frame().to_dict("records")
        if matching is not None:
            results[f"matching_{place}"] = matching.to_dict()
            files[f"units_{place}.csv"] = matching.units_frame().to_dict("records")
    if len(graphs) > 2:
        over = over_trainings(graphs, **_all_of(matches, controls), seed=seed)
        tables.append(row_table.table("Edges by how many of the trainings have them", over.rows()))
        words.append(over.words())
        results["trainings"], files["trainings.csv"] = over.to_dict(), over.edges_frame().to_dict("records")
    if bootstraps and prepared is not None and bits is not None:
        again = bootstrap(bits, rounds=bootstraps, seed=seed, **mining_of(prepared))
        tables.append(
            row_table.table(f"Edges of a over {bootstraps} bootstraps of its examples", again.rows(), ends=ENDS)
        )
        words.append(again.words())
        results["bootstrap"], files["bootstrap.csv"] = again.to_dict(), again.edges_frame().to_dict("records")
    return Findings(results, tables, files, words)


def _bits(network: Prepared, inputs: Prepared, graph: NDG) -> BitMatrix:
    """The booleans of one network on the training inputs of another, binarised as a graph says."""
    settings = network.target.experiment.extract
    loader = inputs.subject.loaders["train"]
    model = network.subject.network
    how: dict[str, Any] = {"batch": settings.compute_batch, "threads": settings.threads}
    most, seed = inputs.target.experiment.mining.max_examples, inputs.target.experiment.seed
    return extraction.extract(model, loader, like=graph, seed=seed, max_examples=most, **how)


def _match(
    records: Sequence[RunRecord],
    graphs: Sequence[NDG],
    place: int,
    first: Prepared | None,
    bits: BitMatrix | None,
    where: Locations,
) -> tuple[Matching | None, Control | None]:
    """The units of another run's network with those of the first, and the same of a re-initialised network of its make;
    None where it is the same network."""
    parent = records[0]["parent"]
    if first is None or bits is None or (parent is not None and records[place]["parent"] == parent):
        return None, None
    second, seed = prepared_of(records[place], where), first.target.experiment.seed
    match = match_units(bits, _bits(second, first, graphs[place]), seed=seed)
    fresh = reinitialised(second.subject.network, seed + place).model
    most = first.target.experiment.mining.max_examples
    control = extraction.extract(fresh, first.subject.loaders["train"], seed=seed, max_examples=most, **second.reading)
    return match, (second.mine(control), match_units(bits, control, seed=seed))


def _all_of(matches: Sequence[Matching | None], controls: Sequence[Control | None]) -> dict[str, Any]:
    """The matchings and the controls as arguments of `over_trainings`, where there are all."""
    if None in matches:
        return {}
    graphs, alike = zip(*[control for control in controls if control is not None], strict=True)
    return {"matches": matches, "controls": graphs, "control_matches": alike}
