"""`ndg efficiency`: how much of each layer is used, and what can be removed."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from ndg.commands.shared import fitted, log_targets, near, networks_of, output, print_configs, say
from ndg.locations import Locations


def efficiency(options: Namespace, where: Locations) -> int:
    """Measure the efficiency of the networks that the command names; two are compared."""
    from ndg import escape
    from ndg.report import efficiency_tables
    from ndg.workflows import efficiency as workflow
    from ndg.workflows import train

    targets, where = networks_of(options, where)
    if options.print_config:
        return print_configs([target.experiment for target in targets])
    log_targets(targets)
    device = train.device(options.device)
    how = (options.layers or (), options.importance, options.max_examples, options.apply, options.resume)
    finished: list[Any] = []
    for target in targets:
        before = [report for _, report, _ in finished] if len(targets) == 2 else []
        finished.append(workflow.run(target, where, device, workflow.Request(*how), before))
    reports = [report for _, report, _ in finished]
    both = workflow.side_by_side(reports)
    if options.json:
        documents = [
            {"run": record.id, **report.to_dict(), "applied": applied and applied.to_dict()}
            for record, report, applied in finished
        ]
        return output(options, "", documents if both is None else [*documents, both.to_dict()])
    if options.csv:
        import pandas as pd

        frames = [report.frame().assign(network=report.name, run=record.id) for record, report, _ in finished]
        sys.stdout.write(escape.csv(pd.concat(frames), options.raw_csv))
        return 0
    for record, report, applied in finished:
        say(f"{report.name}  {record.id}")
        say(f"\n{fitted(efficiency_tables.layers(report, short=True))}\n")
        say(fitted("\n".join(each.words() for each in (report, report.pathways) if each is not None)))
        if applied is not None:
            say(f"\n{fitted(efficiency_tables.applied(applied))}\n{fitted(applied.words())}")
        say(f"\n{near(record.folder / workflow.PAGE)}")
    if both is not None:
        say(f"\n{fitted(efficiency_tables.compared(both))}")
    return 0
