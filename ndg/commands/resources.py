"""`ndg data`, `ndg configs` and `ndg doctor`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ndg import config, terminal
from ndg.commands import choices
from ndg.commands.shared import fitted, near, output, say
from ndg.errors import UserError, nearest
from ndg.locations import Locations

NAMES = {
    ("train", "what"): ("configs",),
    ("align", "what"): ("studies", "configs"),
    ("score", "what"): ("configs",),
    ("score", "method"): ("importance.methods", "of_graph"),
    ("score", "scoreboard"): ("importance.methods",),
    ("render", "score"): ("importance.methods", "of_graph"),
    ("data", "names"): ("data.name",),
}
"""Choices of an argument of a command, for completion."""


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
    """List the configs of this installation, or all config keys."""
    if options.keys is not None:
        return _keys(options)
    shown = config.configs()
    rows = [(name, str(near(path)), choices.about(name)) for name, path in shown.items()]
    document = [dict(zip(("name", "path", "about"), row, strict=True)) for row in rows]
    wide = terminal.size() is None  # a line on a terminal has no room for the path
    return output(options, "\n".join(f"{name:20} {f'{path}  ' * wide}{about}" for name, path, about in rows), document)


def _keys(options: Namespace) -> int:
    from ndg.config.reference import keys

    section = options.keys.rstrip(".")
    rows = [key for key in keys() if not section or f"{key.key}.".startswith(f"{section}.")]
    if not rows:
        sections = dict.fromkeys(key.key.partition(".")[0] for key in keys())
        raise UserError(f"--keys takes a section of a config; got {section!r}; {nearest(section, sections)}")
    known = [key if key.key not in choices.CHOICES else key.with_choices(choices.names(key.key)) for key in rows]
    shape = terminal.size()
    heads, width = ("key", "type", "default", "meaning"), shape and shape[0]
    text = terminal.table([key.cells for key in known], heads=heads, width=width)
    return output(options, text, [asdict(key) for key in known])


def completion(commands: Mapping[str, ArgumentParser], parser: ArgumentParser, shell: str) -> int:
    """Print a shell script that completes commands, options and names."""
    import shtab

    files = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY, "FOLDER": shtab.DIRECTORY}
    for name, command in commands.items():
        for action in command._actions:
            if action.metavar in files:
                action.complete = files[action.metavar]  # type: ignore[attr-defined]
            elif known := NAMES.get((name, action.dest)):
                action.choices = [word for choice in known for word in choices.names(choice)]
    say(shtab.complete(parser, shell))
    return 0


def doctor(options: Namespace, where: Locations) -> int:
    """Check this machine; exit with 1 for a problem."""
    from ndg.doctor import examine

    findings = examine(where)
    for finding in findings:
        say(fitted(f"{finding.mark}  {finding.name:22} {finding.state}"))
        if finding.remedy:
            say(fitted(f"    {finding.remedy}"))
    return int(any(finding.remedy for finding in findings))
