"""`ndg efficiency`: how much of each layer is used, and what can be removed."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from ndg.commands.shared import (
    fitted,
    log_targets,
    names_and_overrides,
    near,
    output,
    own_target,
    print_configs,
    say,
    seeds_of,
    with_seeds,
    with_store,
)
from ndg.errors import UserError
from ndg.locations import Locations


def efficiency(options: Namespace, where: Locations) -> int:
    """Measure the efficiency of the networks that the command names; two are compared."""
    from ndg import escape
    from ndg.report import efficiency_tables
    from ndg.workflows import efficiency as workflow
    from ndg.workflows import train

    seeds = seeds_of(options)
    names, overrides = names_and_overrides(options)
    overrides, where = with_store(options, names, overrides, where)
    targets = _targets(options, names, overrides, seeds, where)
    if options.print_config:
        return print_configs([target.experiment for target in targets])
    log_targets(targets)
    device = train.device(options.device)
    how: dict[str, Any] = {
        "layers": options.layers or (),
        "importance": options.importance,
        "max_examples": options.max_examples,
    }
    how["applied"] = options.apply
    finished = [workflow.run(target, where, device, **how) for target in targets]
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


def _targets(
    options: Namespace, names: list[str], overrides: list[str], seeds: list[int], where: Locations
) -> list[Any]:
    from ndg.workflows import targets

    if options.model or options.hf:
        return [own_target(options, names, overrides, where, fitted=False, layered=False)]
    if not names:
        raise UserError("`ndg efficiency` needs a network: a config, a run, --model or --hf; got none")
    each = [targets.find(names, words, where, options.smoke) for words in with_seeds(overrides, seeds)]
    return [target for group in each for target in group]
