"""`align.py controls`: control graphs (Hu & Tian 2022, Tables 3 and 7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ndg.comparison.sources import controls
from ndg.comparison.tables import table_3, table_7
from ndg.options import RunOptions
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.study_record import Findings, edges_table, per_network, untried

NOTE_7 = "Each graph on held-out real inputs and on other random inputs than it was mined from."


@per_network("controls", "Controls of {}", untried)
def run(prepared: Prepared, run: object) -> Findings:
    """Tables 3 and 7 of a network."""
    experiment, subject = prepared.experiment, prepared.subject
    sources = controls(
        subject.network,
        subject.loaders["train"],
        subject.loaders[subject.held_out],
        prepared.layers,
        vocabulary=vocabulary(prepared),
        settings=prepared.reading,
        options=serial(prepared),
    )
    third = table_3(sources, seed=experiment.seed, **mining_of(prepared))
    seventh = table_7(sources, **mining_of(prepared))
    tables = [
        edges_table(f"{experiment.name}: the graph and control graphs (Table 3)", third.rows()),
        edges_table("Graphs of real and of random inputs on both (Table 7)", seventh.rows(), NOTE_7),
    ]
    results = {"table_3": third.to_dict(), "table_7": seventh.to_dict()}
    return Findings(results, tables, {"table_3.csv": third.rows(), "table_7.csv": seventh.rows()})


def serial(prepared: Prepared) -> RunOptions:
    """How booleans are read in this process."""
    return replace(prepared.reading_options(prepared.experiment.seed), executor="serial", ray_address=None)


def vocabulary(prepared: Prepared) -> int | None:
    """Number of tokens that a network knows; None without tokens."""
    return getattr(getattr(prepared.subject.network, "config", None), "vocab_size", None)


def mining_of(prepared: Prepared) -> dict[str, Any]:
    """The arguments of `ndg.mine` of the experiment."""
    criterion, mining = prepared.experiment.criterion, prepared.experiment.mining
    limits = {"pairs": mining.pairs, "max_edges": mining.max_edges}
    return {"criterion": criterion.rule(), "alpha": criterion.alpha[0], **limits}
