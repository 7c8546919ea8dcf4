"""The findings of a study of `align.py`, logged as a run: figures, tables, files and a page."""

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
    """Results for the run log, rows of CSV files by name, and tables and words for readers."""

    results: Mapping[str, Any]
    tables: Sequence[Table]
    rows: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    words: Sequence[str] = ()

    def text(self, width: int | None = None) -> str:
        """The tables and the words as text."""
        lines = [line for words in self.words for line in words.splitlines() if line]
        paragraphs = ["\n".join(textwrap.wrap(line, width)) if width else line for line in lines]
        return "\n\n".join([*(table.text(width=width) for table in self.tables), *paragraphs])


def untried(prepared: Prepared) -> Prepared:
    """The same network without a trial, so that any number of layers is allowed."""
    experiment = prepared.target.experiment
    trial = replace(experiment.trial, interventions=[])
    target = replace(prepared.target, experiment=replace(experiment, trial=trial))
    return replace(prepared, target=target, seconds={}, caches={})


def with_layers(prepared: Prepared, layers: Sequence[str]) -> Prepared:
    """The same network without a trial, with a graph over `layers` or over two or more of the experiment."""
    experiment = prepared.target.experiment
    chosen = experiment.extract.layers if len(experiment.extract.layers) > 1 else list(layers)
    target = replace(
        prepared.target, experiment=replace(experiment, extract=replace(experiment.extract, layers=chosen))
    )
    return untried(replace(prepared, target=target))


def logged(
    kind: str,
    prepared: Prepared,
    work: Callable[[Run], Findings],
    title: str,
    parents: Sequence[str] = (),
) -> tuple[RunRecord, Findings]:
    """Run and log a study; return its run document and findings. `parents` are further train runs."""
    import pandas as pd

    where, target = prepared.where, prepared.target
    experiment = target.experiment.at(prepared.alphas[0])
    check(experiment)
    with runs.start(where.store, kind, experiment, where.runs, parent=target.parent, device=prepared.device) as run:
        run.artefact(atomic.write(run.folder / CONFIG, experiment.to_yaml()))
        run.result("data", prepared.subject.facts)
        if parents:
            run.result("parents", {"runs": list(parents)})
        findings = work(run)
        run.result(kind, dict(findings.results))
        for name, lines in findings.rows.items():
            run.artefact(atomic.write(run.folder / name, pd.DataFrame(list(lines)).to_csv(index=False)))
        page = study_page(title, {**run.record, "status": None}, findings.tables, findings.words, experiment.to_yaml())
        run.artefact(atomic.write(run.folder / PAGE, page))
    return run.record, findings


TITLES = {
    "edges_shuffled": "independent",
    "mined_precision": "precision when mined",
    "precision": "held out",
}
ENDS = {"precision": ("low", "high")}
LEAVE = ("equivalent", "possible", "occurrences", "exceptions", "examples")
NOTE = (
    "edges: implications that the criterion accepts; independent: how many it accepts when nodes keep their rates but "
    "are independent. Precision is the mean over the judged edges: on the examples that they were mined from (where "
    "the criterion guarantees it) and on held-out ones; chance: precision there for the same consequents if "
    "antecedents carried no information."
)


def edges_table(title: str, rows: Sequence[Mapping[str, Any]], note: str = NOTE) -> Table:
    """Table of edge figures, from rows of the studies in `ndg.comparison`."""
    return row_table.table(title, rows, titles=TITLES, ends=ENDS, leave=LEAVE, note=note)
