"""`ndg compress`: a smaller network with the same predictions."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ndg.commands.shared import fitted, log_targets, near, networks_of, output, print_configs, say
from ndg.errors import UserError
from ndg.locations import Locations


def compress(options: Namespace, where: Locations) -> int:
    """Compress the networks that the command names."""
    from ndg.compression.methods import METHODS, OPTIONAL
    from ndg.compression.smaller import CompressSettings
    from ndg.report import compress_tables
    from ndg.workflows import compress as workflow
    from ndg.workflows import train

    targets, where = networks_of(options, where)
    if options.print_config:
        return print_configs([target.experiment for target in targets])
    if options.out and len(targets) > 1:
        raise UserError(f"--out takes one network; got {len(targets)}; leave it out: each run keeps its own")
    settings = CompressSettings(
        layers=tuple(options.layers) if options.layers else None,
        repair=not options.no_repair,
        distill=options.distill,
        calibration=options.calibration,
    )
    log_targets(targets)
    device = train.device(options.device)
    out = Path(options.out) if options.out else None
    rivals = [*METHODS, *OPTIONAL] if options.rivals == [] else options.rivals or []
    request = workflow.Request(_budget(options), options.by, settings, rivals, out, options.resume)
    finished = [workflow.run(target, where, request, device) for target in targets]
    if options.json:
        return output(options, "", [{"run": record.id, **record.figure("results.compress")} for record, _ in finished])
    for record, result in finished:
        say(f"{record['name']}  {record.id}")
        for table in compress_tables.tables(record.figure("results.compress")):
            say(f"\n{fitted(table)}")
        say(f"\n{fitted(result.words())}\n{fitted(workflow.words(record.figure('results.compress.held_out')))}\n")
        say(near(out or record.folder / "network"))
        say(near(record.folder / workflow.PAGE))
    return 0


def _budget(options: Namespace) -> dict[str, float]:
    """The budget that the command names, half of the units without any."""
    budgets = {name: getattr(options, name) for name in ("units", "flops", "agreement")}
    chosen = {name: value for name, value in budgets.items() if value is not None}
    return chosen or {"units": 0.5}
