"""`ndg tag`, `untag`, `note`, `rm`, `open`, `path`, `export` and `import`: what is done with logged runs."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ndg.commands.shared import check_log, near, output, say
from ndg.errors import RunNotFoundError, StoreError, UserError
from ndg.locations import Locations
from ndg.runs import conditions
from ndg.runs.log import Log
from ndg.runs.record import RunRecord
from ndg.runs.store import reason

PAGES = ("report.html", "explorer.html", "report.pdf", "ndg.pdf", "ndg.html")
"""Files of a run that `ndg open` shows, best first."""


def tag(options: Namespace, where: Locations) -> int:
    """Add tags to a run."""
    return _edit(options, where, lambda log: log.tag(options.run, *options.tags))


def untag(options: Namespace, where: Locations) -> int:
    """Remove tags from a run."""
    return _edit(options, where, lambda log: log.untag(options.run, *options.tags))


def note(options: Namespace, where: Locations) -> int:
    """Set the notes of a run."""
    return _edit(options, where, lambda log: log.note(options.run, options.text))


def path(options: Namespace, where: Locations) -> int:
    """Print the folder of a run."""
    from ndg import runs

    with runs.open(where.store, local=where.runs) as log:
        say(near(log.get(options.run).locate(where.runs)))
    return 0


def open(options: Namespace, where: Locations) -> int:
    """Open the report of a run in the browser, and print its path."""
    import webbrowser

    from ndg import runs

    with runs.open(where.store, local=where.runs) as log:
        record = log.get(options.run)
    page = page_of(record, where.runs)
    say(near(page))
    webbrowser.open(page.absolute().as_uri())
    return 0


def page_of(record: RunRecord, root: Path) -> Path:
    """The report of a run, else its explorer or picture. Raises RunNotFoundError."""
    folder = record.locate(root)
    pages = [folder / name for name in PAGES] + sorted(folder.glob("*.html")) + sorted(folder.glob("*.pdf"))
    if page := next((page for page in pages if page.is_file()), None):
        return page
    raise RunNotFoundError(f"run {record.id} has no report; `ndg explore {record.id}` makes one of an align run")


def rm(options: Namespace, where: Locations) -> int:
    """Remove runs from the log; their folders move to the trash."""
    from ndg import runs
    from ndg.runs import transfer

    with runs.open(where.store, local=where.runs) as log:
        records = [log.get(name) for name in dict.fromkeys(options.run)]
        if not options.yes:
            _ask(f"remove {', '.join(record.id for record in records)}? [y/N] ")
        for record in records:
            kept = transfer.remove(log, record, where.runs)
            say(f"{record.id} is removed" + (f"; its folder is {near(kept)}" if kept else ""))
    return 0


def _ask(question: str) -> None:
    """Raise UserError unless the answer is yes."""
    if not sys.stdin.isatty():
        raise UserError("ndg rm asks before it removes, and there is no terminal to ask at; say --yes")
    if input(question).strip().lower() not in ("y", "yes"):
        raise UserError("nothing is removed; the answer was not yes")


def export(options: Namespace, where: Locations) -> int:
    """Copy runs from this run log to another one, or to a database for sacred."""
    if options.sacred:
        return to_sacred(options, where)
    if not options.uri:
        raise UserError("ndg export needs another run log: a file, mongodb://..., or --sacred mongodb://...")
    return _copy(options, where, (where.store, options.uri))


def import_(options: Namespace, where: Locations) -> int:
    """Copy runs from another run log to this one."""
    return _copy(options, where, (options.uri, where.store))


def fetch(options: Namespace, where: Locations) -> int:
    """Fetch the files of a run from the server into the folder of runs."""
    from ndg import runs
    from ndg.runs.files import Files

    if not where.store.startswith("mongodb"):
        raise UserError(f"files are fetched from a MongoDB server; the run log is {where.store}; name one by --store")
    with runs.open(where.store, local=where.runs) as log, closing(Files(where.store)) as files:
        paths = files.fetch(log.get(options.run), where.runs)
    return output(
        options, "\n".join(str(near(path)) for path in paths) or "the run has no files", list(map(str, paths))
    )


def to_sacred(options: Namespace, where: Locations) -> int:
    """Write runs to a database in sacred's layout."""
    from ndg import runs
    from ndg.addresses import mask
    from ndg.runs.sacred import Sacred

    runs.connect(options.sacred)  # a mistake in the URI is told first
    query = conditions.query(options.where, options.condition)
    with runs.open(where.store, local=where.runs) as log:
        records = log.find(query, "started", metrics=True)
        try:
            with closing(Sacred(options.sacred)) as sacred:
                numbers = {record.id: sacred.put(record) for record in records}
        except Exception as error:
            raise StoreError(f"{mask(options.sacred)} cannot be written: {reason(error)}") from error
    return output(options, f"{len(numbers)} runs are in {mask(options.sacred)} for sacred and Omniboard", numbers)


def _copy(options: Namespace, where: Locations, uris: tuple[str, str]) -> int:
    from ndg import runs
    from ndg.runs import transfer

    query = conditions.query(options.where, options.condition)
    with (
        runs.open(uris[0], local=where.runs if uris[0] == where.store else None) as source,
        runs.open(uris[1]) as target,
    ):
        ids = transfer.copy(source, target, query)
        check_log(where, source, len(ids))
        return output(options, f"{len(ids)} runs of {source.uri} are in {target.uri}", ids)


def _edit(options: Namespace, where: Locations, change: Callable[[Log], RunRecord]) -> int:
    from ndg import runs

    with runs.open(where.store, local=where.runs) as log:
        record = change(log)
    text = f"{record.id}  tags: {', '.join(record['tags']) or 'none'}  notes: {record['notes'] or 'none'}"
    return output(options, text, {name: record[name] for name in ("_id", "tags", "notes")})


def ui(options: Namespace, where: Locations) -> int:
    """Serve a page about the run log on this machine, until Ctrl-C."""
    import webbrowser

    from ndg import runs
    from ndg.ui.serve import bind

    with runs.open(where.store, local=where.runs) as log:
        server = bind(log, options.port, options.write)
        say(f"{server.address}\nThe address has a secret: share it with nobody. Ctrl-C ends the page.")
        sys.stdout.flush()
        if not options.no_browser:
            webbrowser.open(server.address)
        server.run()
    return 0
