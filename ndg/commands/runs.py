"""`ndg runs` and `ndg show`."""

from __future__ import annotations

import json
from argparse import Namespace

from ndg.commands.shared import output
from ndg.errors import UserError
from ndg.locations import Locations


def runs(asked: Namespace, where: Locations) -> int:
    from ndg import runs
    from ndg.runs import show

    if asked.limit < 1:
        raise UserError(f"--limit is at least 1; got {asked.limit}")
    try:
        query = json.loads(asked.where) if asked.where else {}
    except json.JSONDecodeError as error:
        raise UserError(
            f"--where takes a MongoDB query as JSON, in single quotes; got {asked.where!r} ({error})"
        ) from error
    with runs.open(where.store, local=where.runs) as book:
        found = book.find(query, limit=asked.limit, metrics=asked.json)
    return output(asked, show.table(found), found)


def show(asked: Namespace, where: Locations) -> int:
    from ndg import runs
    from ndg.runs import show

    with runs.open(where.store, local=where.runs) as book:
        record = book.get(asked.run)
    return output(asked, show.text(record), record)
