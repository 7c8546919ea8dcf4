"""What a study of `align.py` found, logged as a run of its own: figures, tables, files, a page."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ndg import atomic, runs
from ndg.report import row_table
from ndg.report.html import study_page
from ndg.report.tables import Table
from ndg.runs.record import RunRecord
from ndg.runs.run import Run
from ndg.workflows.prepare import Prepared, check

CONFIG, PAGE = "config.yaml", "report.html"


@dataclass(frozen=True)
class Findings:
    """`results` go into the run log under the study's name, `rows` into a CSV file each, tables and words to people."""

    results: Mapping[str, Any]
    tables: Sequence[Table]
    rows: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    words: Sequence[str] = ()

    def text(self, width: int | None = None) -> str:
        """The tables, then the words."""
        lines = [line for words in self.words for line in words.splitlines() if line]
        said = ["\n".join(textwrap.wrap(line, width)) if width else line for line in lines]
        return "\n\n".join([*(table.text(width=width) for table in self.tables), *said])


def untried(prepared: Prepared) -> Prepared:
    """The same network where no trial is asked for, so that any number of layers will do."""
    experiment = prepared.target.experiment
    trial = replace(experiment.trial, interventions=[])
    target = replace(prepared.target, experiment=replace(experiment, trial=trial))
    return replace(prepared, target=target, seconds={}, caches={})


def with_layers(prepared: Prepared, layers: Sequence[str]) -> Prepared:
    """The same network with a graph over these layers, or over those of the experiment where it names two; no trial."""
    experiment = prepared.target.experiment
    asked = experiment.extract.layers if len(experiment.extract.layers) > 1 else list(layers)
    target = replace(prepared.target, experiment=replace(experiment, extract=replace(experiment.extract, layers=asked)))
    return untried(replace(prepared, target=target))


def logged(
    kind: str,
    prepared: Prepared,
    work: Callable[[Run], Findings],
    title: str,
    parents: Sequence[str] = (),
) -> tuple[RunRecord, Findings]:
    """The document of a finished study, and what it found. `parents` are trained runs beside the target's own."""
    import pandas as pd

    where, target = prepared.where, prepared.target
    experiment = target.experiment.at(prepared.alphas[0])
    check(experiment)
    parent = None if target.run is None else target.run.id
    with runs.start(where.store, kind, experiment, where.runs, parent=parent, device=prepared.device) as one:
        one.artefact(atomic.write(one.folder / CONFIG, experiment.to_yaml()))
        one.result("data", prepared.subject.facts)
        if parents:
            one.result("parents", {"runs": list(parents)})
        found = work(one)
        one.result(kind, dict(found.results))
        for name, lines in found.rows.items():
            one.artefact(atomic.write(one.folder / name, pd.DataFrame(list(lines)).to_csv(index=False)))
        page = study_page(title, {**one.record, "status": None}, found.tables, found.words, experiment.to_yaml())
        one.artefact(atomic.write(one.folder / PAGE, page))
    return one.record, found


TITLES = {
    "edges_shuffled": "independent",
    "mined_precision": "precision when mined",
    "precision": "held out",
}
ENDS = {"precision": ("low", "high")}
LEAVE = ("equivalent", "possible", "occurrences", "exceptions", "examples")
NOTE = (
    "edges: implications that the criterion admits; independent: how many it admits when each node keeps its rate and "
    "knows nothing of the others. Precision is the mean over the edges that are judged: on the examples that they were "
    "mined from, where the criterion asks for it, and on held-out ones; chance: what it would be there for the same "
    "consequents if antecedents said nothing."
)


def edges_table(title: str, found: Sequence[Mapping[str, Any]], note: str = NOTE) -> Table:
    """The table of rows of edge figures, as the studies of comparison give them."""
    return row_table.table(title, found, titles=TITLES, ends=ENDS, leave=LEAVE, note=note)
