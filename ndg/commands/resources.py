"""`ndg data`, `ndg configs` and `ndg doctor`."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import Any

from ndg import config
from ndg.commands.shared import near, output
from ndg.errors import UserError
from ndg.locations import Locations


def data(options: Namespace, where: Locations) -> int:
    """List data sets, or download them from their publishers."""
    from ndg.data import downloads

    if options.action == "list":
        entries = downloads.entries(where.data, options.names)
        return output(options, "\n\n".join(each.text() for each in entries), list(map(asdict, entries)))
    if not options.names:
        raise UserError("`ndg data get` needs the name of a data set; got none; `ndg data list` names them")
    for name in options.names:
        downloads.source_of(name)
    if where.data is None:
        raise UserError("data sets need a folder; got none; name one with --data DIR or NDG_DATA")
    finished: list[Any] = []
    try:
        for name in options.names:
            finished.append(downloads.get(name, where.data))
    finally:  # finished downloads are printed also when a later one fails
        if finished:
            output(options, "\n".join(each.text() for each in finished), list(map(asdict, finished)))
    return 0


def configs(options: Namespace, where: Locations) -> int:
    """List the configs of this installation."""
    for name, path in config.configs().items():
        print(f"{name:20} {near(path)}")
    return 0


def doctor(options: Namespace, where: Locations) -> int:
    """Check this machine; exit with 1 for a problem."""
    from ndg.doctor import examine

    findings = examine(where)
    for finding in findings:
        print(f"{'!!' if finding.remedy else 'ok'}  {finding.name:22} {finding.state}")
        if finding.remedy:
            print(f"    {finding.remedy}")
    return int(any(finding.remedy for finding in findings))
