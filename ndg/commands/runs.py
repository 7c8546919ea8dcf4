"""`ndg runs` and `ndg show`."""

from __future__ import annotations

import json
from argparse import Namespace

from ndg.commands.shared import output
from ndg.errors import UserError
from ndg.locations import Locations


def runs(options: Namespace, where: Locations) -> int:
    """List logged runs, newest first."""
    from ndg import runs
    from ndg.runs import show

    if options.limit < 1:
        raise UserError(f"--limit is at least 1; got {options.limit}")
    try:
        query = json.loads(options.where) if options.where else {}
    except json.JSONDecodeError as error:
        raise UserError(
            f"--where takes a MongoDB query as JSON, in single quotes; got {options.where!r} ({error})"
        ) from error
    with runs.open(where.store, local=where.runs) as log:
        records = log.find(query, limit=options.limit, metrics=options.json)
    return output(options, show.table(records), records)


def show(options: Namespace, where: Locations) -> int:
    """Show one run."""
    from ndg import runs
    from ndg.runs import show

    with runs.open(where.store, local=where.runs) as log:
        record = log.get(options.run)
    return output(options, show.text(record), record)
