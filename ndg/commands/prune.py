"""`ndg prune`: remove units or weights of trained networks in steps, and train on after each."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from ndg.commands.shared import fitted, near, networks_of, output, print_configs, say
from ndg.locations import Locations
from ndg.progress import log


def prune(options: Namespace, where: Locations) -> int:
    """Prune the networks that the command names."""
    from ndg.compression.iterative import PruneSettings
    from ndg.workflows import prune as prune_workflow
    from ndg.workflows import train

    networks, where = networks_of(options, where)
    settings = PruneSettings(
        method=options.by,
        share=options.share,
        steps=options.steps,
        schedule=options.schedule,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        unstructured=options.unstructured,
        scope=options.scope,
        layers=tuple(options.layers or ()),
        draws=options.draws,
    )
    if options.print_config:
        return print_configs([target.experiment for target in networks])
    device = train.device(options.device)
    records: list[Any] = []
    try:
        for target in networks:
            log.info("prune %s: %s (%s)", target.experiment.name, target.id, target.why)
            records.append(prune_workflow.run(target, where, settings, device, options.resume))
    finally:  # finished runs are printed also when a later one fails
        if records and options.json:
            output(options, "", records)
        elif records:
            _print(records)
    return 0


def _print(records: list[Any]) -> None:
    from ndg.report import prune_tables

    for record in records:
        say(f"{record['name']}  {record.id}")
        for table in prune_tables.tables(record):
            say(f"\n{fitted(table)}")
        say(f"\n{record.figure('results.prune.words')}")
        for name in ("model.safetensors", "prune.csv", "report.html"):
            say(near(record.folder / name))
