"""Comparison of the graphs of several align runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ndg import extraction
from ndg.bits.matrix import BitMatrix
from ndg.comparison.difference import diff
from ndg.comparison.over_examples import bootstrap
from ndg.comparison.retraining import over_trainings
from ndg.comparison.sources import reinitialised
from ndg.comparison.units import Matching, match_units
from ndg.errors import ConfigError
from ndg.extraction import ReadingSettings
from ndg.graph.ndg import NDG
from ndg.graph.rules import class_text
from ndg.locations import Locations
from ndg.nodes import LABEL
from ndg.options import RunOptions
from ndg.progress import log
from ndg.report.tables import Table
from ndg.runs.record import RunRecord
from ndg.workflows.pictures import graph_of
from ndg.workflows.prepare import Prepared
from ndg.workflows.reload import prepared_of
from ndg.workflows.studies.controls import mining_of
from ndg.workflows.studies.study_record import Findings

if TYPE_CHECKING:
    import pandas as pd

ENDS = {
    "jaccard": ("low", "high"),
    "shuffled": ("shuffled_low", "shuffled_high"),
    "control": ("control_low", "control_high"),
    "share": ("low", "high"),
}
SHOWN = 20
"""Classes that are listed by name."""
Control = tuple[NDG, Matching]
"""The graph of a re-initialised network, and its units matched with those of the first."""
NOTE = (
    "both, only a, only b: edges (an implication and its contrapositive are two). contradicting: p → q in a and p → ¬q "
    "in b. jaccard: both over all. shuffled: the same with the units of b permuted within their layers, which undoes "
    "the matching. control: a compared with a re-initialised network like b, its units matched the same way."
)


def compare(records: Sequence[RunRecord], where: Locations, *, match: bool = True, bootstraps: int = 0) -> Findings:
    """Compare the graphs of align runs with the first.

    Units of different networks are matched one to one by the agreement of their booleans on the first run's training
    inputs. With `bootstraps`, the first graph is also mined again from samples of its examples. Raises ConfigError for
    fewer than two runs, or for networks that cannot be read to be matched.
    """
    if len(records) < 2:
        raise ConfigError(f"a comparison takes two or more runs; got {len(records)}")
    graphs = [graph_of(record) for record in records]
    names = _class_names(records, graphs)
    seed = records[0]["seeds"]["seed"]
    prepared = prepared_of(records[0], where) if match or bootstraps else None
    bits = None if prepared is None else _bits(prepared, prepared, graphs[0])
    first = prepared if match else None
    pairs = [_match(records, graphs, number, first, bits, where) for number in range(1, len(records))]
    matches, controls = zip(*pairs, strict=True)
    results: dict[str, Any] = {"runs": [record.id for record in records]}
    tables: list[Table] = []
    words: list[str] = []
    files: dict[str, Any] = {}

    def add(result: Any, name: str, file: str, title: str, **how: Any) -> None:
        tables.append(Table.of_rows(title, result.rows(), **how))
        words.append(result.words())
        results[name], files[f"{file}.csv"] = result.to_dict(), _named(result.edges_frame(), names)

    for number, (graph, matching, control) in enumerate(zip(graphs[1:], matches, controls, strict=True), start=1):
        beside = {} if control is None else {"control": control[0], "control_match": control[1]}
        difference = diff(graphs[0], graph, matching, **beside, seed=seed)
        title = f"a: {records[0].id}, b: {records[number].id}"
        add(difference, f"diff_{number}", f"edges_{number}", title, ends=ENDS, leave=("rounds",), note=NOTE)
        if matching is not None:
            results[f"matching_{number}"] = matching.to_dict()
            files[f"units_{number}.csv"] = matching.units_frame().to_dict("records")
    if len(graphs) > 2:
        how: dict[str, Any] = {}
        if None not in matches:
            control_graphs, control_matches = zip(*filter(None, controls), strict=True)
            how = {"matches": list(matches), "controls": control_graphs, "control_matches": control_matches}
        shares = over_trainings(graphs, **how, seed=seed)
        add(shares, "trainings", "trainings", "Edges by how many of the trainings have them")
    if bootstraps and prepared is not None and bits is not None:
        over_examples = bootstrap(bits, rounds=bootstraps, seed=seed, **mining_of(prepared))
        title = f"Edges of a over {bootstraps} bootstraps of its examples"
        add(over_examples, "bootstrap", "bootstrap", title, ends=ENDS)
    if names:
        results["class_names"] = list(names)
        shown = ", ".join(class_text(number, names) for number in range(min(len(names), SHOWN)))
        words.append(f"Classes: {shown}" + (f" and {len(names) - SHOWN} more." if len(names) > SHOWN else "."))
    return Findings(results, tables, files, words)


def _class_names(records: Sequence[RunRecord], graphs: Sequence[NDG]) -> tuple[str, ...]:
    """Class names of the first graph, with a warning for other names."""
    names = graphs[0].class_names
    for record, graph in zip(records[1:], graphs[1:], strict=True):
        pairs = enumerate(zip(names, graph.class_names, strict=False))
        if differing := next(((number, pair) for number, pair in pairs if len({*pair}) > 1), None):
            number, pair = differing
            log.warning(
                "classes are compared by number: class %d is %r in %s, and %r in %s",
                *(number, pair[0], records[0].id, pair[1], record.id),
            )
    return names


def _named(edges: pd.DataFrame, names: Sequence[str]) -> list[dict[Any, Any]]:
    """Rows of edges, with the class names of their literals."""
    for end in ("antecedent", "consequent") if names else ():
        number = edges[end].str.extract(rf"^~?{LABEL}:(\d+)$")[0]
        edges[f"{end}_class"] = number.map({str(number): name for number, name in enumerate(names)}).fillna("")
    return edges.to_dict("records")


def _bits(network: Prepared, inputs: Prepared, graph: NDG) -> BitMatrix:
    """Booleans of one network on the training inputs of another."""
    settings, experiment = network.experiment.extract, inputs.experiment
    options = RunOptions(batch=settings.compute_batch, threads=settings.threads, seed=experiment.seed)
    reading, loader = ReadingSettings(max_examples=experiment.mining.max_examples), inputs.subject.loaders["train"]
    return extraction.extract(network.subject.network, loader, settings=reading, options=options, like=graph)


def _match(
    records: Sequence[RunRecord],
    graphs: Sequence[NDG],
    number: int,
    first: Prepared | None,
    bits: BitMatrix | None,
    where: Locations,
) -> tuple[Matching | None, Control | None]:
    """Units of another network and its re-initialised copy, matched with the first's."""
    parent = records[0]["parent"]
    if first is None or bits is None or (parent is not None and records[number]["parent"] == parent):
        return None, None
    second, seed = prepared_of(records[number], where), first.experiment.seed
    match = match_units(bits, _bits(second, first, graphs[number]), seed=seed)
    fresh = reinitialised(second.subject.network, seed + number).model
    reading = replace(second.reading, max_examples=first.experiment.mining.max_examples)
    options = replace(second.reading_options(seed), executor="serial", ray_address=None)
    inputs = first.subject.loaders["train"]
    control = extraction.extract(fresh, inputs, second.layers, settings=reading, options=options)
    return match, (second.mine(control), match_units(bits, control, seed=seed))
