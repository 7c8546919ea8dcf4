"""`ndg data`, `ndg configs` and `ndg doctor`."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from ndg import config
from ndg.commands.shared import near, output
from ndg.errors import UserError
from ndg.locations import Locations


def data(asked: Namespace, where: Locations) -> int:
    from ndg.data import downloads

    if asked.action == "list":
        found = downloads.entries(where.data, asked.names)
        return output(asked, "\n\n".join(each.text() for each in found), [each.to_dict() for each in found])
    if not asked.names:
        raise UserError("`ndg data get` needs the name of a data set; got none; `ndg data list` names them")
    for name in asked.names:
        downloads.source_of(name)
    if where.data is None:
        raise UserError("data sets need a folder to lie in; got none; name one with --data DIR or NDG_DATA")
    got: list[Any] = []
    try:
        for name in asked.names:
            got.append(downloads.get(name, where.data))
    finally:  # what is done is told, also when a later one fails
        if got:
            output(asked, "\n".join(each.text() for each in got), [each.to_dict() for each in got])
    return 0


def configs(asked: Namespace, where: Locations) -> int:
    for name, path in config.configs().items():
        print(f"{name:20} {near(path)}")
    return 0


def doctor(asked: Namespace, where: Locations) -> int:
    from ndg.doctor import examine

    ill = False
    for finding in examine(where):
        print(f"{'!!' if finding.remedy else 'ok'}  {finding.name:22} {finding.state}")
        if finding.remedy:
            ill = True
            print(f"    {finding.remedy}")
    return int(ill)
