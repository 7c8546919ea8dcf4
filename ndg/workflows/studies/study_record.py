"""Findings of the studies of `align.py`, logged as runs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ndg import atomic, escape, runs
from ndg.errors import ConfigError
from ndg.report.html import Picture, study_page
from ndg.report.tables import Table
from ndg.runs.record import RunRecord
from ndg.runs.run import Run
from ndg.workflows.prepare import Prepared, check

CONFIG, PAGE = "config.yaml", "report.html"


@dataclass(frozen=True)
class Findings:
    """Results for the run log.

    Tables, rows, words and pictures of graphs for readers, and the text of an explorer.
    """

    results: Mapping[str, Any]
    tables: Sequence[Table]
    rows: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    words: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    explorer: str = ""

    def text(self, width: int | None = None, fit: bool = False) -> str:
        """The tables and the words as text, with `fit` no wider than `width`."""
        lines = [line for words in self.words for line in words.splitlines() if line]
        paragraphs = ["\n".join(textwrap.wrap(line, width)) if width else line for line in lines]
        return "\n\n".join([*(table.text(width=width, fit=fit) for table in self.tables), *paragraphs])


Study = Callable[[Sequence[Prepared]], list[tuple[RunRecord, Findings]]]


def per_network(
    kind: str, title: str, ready: Callable[[Prepared], Prepared] = lambda prepared: prepared
) -> Callable[[Callable[[Prepared, Run], Findings]], Study]:
    """Log a run of a study for each network, changed by `ready`."""

    def decorate(study: Callable[[Prepared, Run], Findings]) -> Study:
        def run(networks: Sequence[Prepared]) -> list[tuple[RunRecord, Findings]]:
            return [
                logged(kind, prepared, partial(study, prepared), title.format(prepared.experiment.name))
                for prepared in map(ready, networks)
            ]

        return run

    return decorate


def untried(prepared: Prepared) -> Prepared:
    """The network without a trial, which allows any number of layers."""
    trial = replace(prepared.experiment.trial, interventions=[])
    return prepared.changed(trial=trial)


def with_validation(rule: str) -> Callable[[Prepared], Prepared]:
    """The network itself. Raises ConfigError, which begins with `rule`, where it has no validation examples."""

    def ready(prepared: Prepared) -> Prepared:
        if "validation" not in prepared.subject.loaders:
            raise ConfigError(
                f"{rule}; {prepared.experiment.name} has only {', '.join(prepared.subject.loaders)}; give a loader "
                "named validation"
            )
        return prepared

    return ready


def with_layers(prepared: Prepared, layers: Sequence[str]) -> Prepared:
    """The network without a trial, over several layers."""
    extract = prepared.experiment.extract
    chosen = extract.layers if len(extract.layers) > 1 else list(layers)
    return untried(prepared.changed(extract=replace(extract, layers=chosen)))


def logged(
    kind: str, prepared: Prepared, work: Callable[[Run], Findings], title: str, parents: Sequence[str] = ()
) -> tuple[RunRecord, Findings]:
    """Run and log a study; `parents` are further train runs."""
    import pandas as pd

    where, parent, facts = prepared.where, prepared.target.parent, prepared.subject.facts
    experiment = prepared.experiment.at(prepared.experiment.criterion.alphas[0])
    check(experiment)
    with runs.start(where.store, kind, experiment, where.runs, parent=parent, device=prepared.device) as run:
        run.artefact(atomic.write(run.folder / CONFIG, experiment.to_yaml()))
        run.result("data", facts)
        if parents:
            run.result("parents", {"runs": list(parents)})
        findings = work(run)
        run.result(kind, dict(findings.results))
        for name, lines in findings.rows.items():
            run.artefact(
                atomic.write(run.folder / name, escape.csv(pd.DataFrame(list(lines)), experiment.report.raw_csv))
            )
        page = study_page(
            title,
            {**run.record, "status": None},
            findings.tables,
            findings.words,
            experiment.to_yaml(),
            graphs=findings.pictures,
            explorer_page=findings.explorer,
        )
        run.artefact(atomic.write(run.folder / PAGE, page))
    return run.record, findings


TITLES = {"edges_shuffled": "independent", "mined_precision": "precision when mined", "precision": "held out"}
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
    return Table.of_rows(title, rows, titles=TITLES, ends=ENDS, leave=LEAVE, note=note)
