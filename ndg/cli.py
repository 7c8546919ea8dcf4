"""The command line. Results go to stdout, messages to stderr.

Exit codes: 0 done, 1 failure, 2 mistake of the user, 130 interrupted. Heavy packages are imported when they are needed.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import signal
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ndg.addresses import without_pieces
from ndg.allocation import collect_less, keep_blocks
from ndg.commands.parser import parse
from ndg.errors import NDGError, UserError, check_list
from ndg.escape import printable
from ndg.locations import Locations
from ndg.progress import log

NO_MEMORY = re.compile("out of memory|can't allocate memory|failed to allocate", re.IGNORECASE)
UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE)


def main(
    arguments: Sequence[str] | None = None,
    *,
    program: str = "ndg",
    data: str | None = None,
    runs: str | None = None,
    store: str | None = None,
) -> int:
    """Run a command and return its exit code.

    `data`, `runs` and `store` are the locations unless options name others. A `program` other than `ndg` is a script
    for one command, with which `arguments` begin.
    """
    check_list(arguments, "arguments of a command line")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller, as in `ndg runs >&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without a character shows a question mark
    try:
        try:
            return _run(program, sys.argv[1:] if arguments is None else list(arguments), data, runs, store)
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or error.errno not in UNWRITTEN:
            raise
        return _unwritten(program, error)


def _run(program: str, arguments: list[str], data: str | None, runs: str | None, store: str | None) -> int:
    keep_blocks()
    collect_less()
    options = parse(program, arguments)
    _set_up_messages(options, arguments)
    try:
        for name in ("data", "runs", "store"):
            if getattr(options, name) == "":
                raise UserError(f"--{name} names a place; got an empty text; leave it out for the usual one")
        where = Locations.choose(options.data or data, options.runs or runs, options.store or store)
        with _sigterm_exits():
            return options.act(options, where)
    except NDGError as error:
        message, code = str(error), error.exit_code
    except KeyboardInterrupt:
        message, code = _interrupted(options), 130
    except SystemExit as error:
        message, code = _interrupted(options), int(error.code or 0)
    except (MemoryError, RuntimeError) as error:  # torch raises the latter
        if not (isinstance(error, MemoryError) or NO_MEMORY.search(str(error))):
            raise
        message, code = f"the memory must hold the network and a batch; {_short(error)}; choose smaller ones", 1
    with suppress(OSError):  # stderr may be full
        print(f"{program}: {printable(without_pieces(message, arguments))}", file=sys.stderr)
    return code


def _unwritten(program: str, error: OSError) -> int:
    """The exit code for a full (1) or closed (0) stdout."""
    with suppress(OSError, ValueError):  # Python flushes stdout again when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0
    with suppress(OSError):
        message = f"{program}: output cannot be written: {error.strerror}; write to another place"
        print(printable(message), file=sys.stderr)
    return 1


def _short(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _set_up_messages(options: Namespace, arguments: Sequence[str]) -> None:
    """Write messages to stderr: warnings (--quiet), information, or everything (--verbose)."""
    level = logging.WARNING if options.quiet else logging.DEBUG if options.verbose else logging.INFO
    log.setLevel(level)
    log.propagate = False
    for old in list(log.handlers):
        log.removeHandler(old)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain(arguments))
    log.addHandler(handler)


class _Plain(logging.Formatter):
    """Format a message without passwords and control characters.

    Warnings and errors begin with their level.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        super().__init__()
        self._arguments = arguments

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return prefix + printable(without_pieces(record.getMessage(), self._arguments))


@contextmanager
def _sigterm_exits() -> Iterator[None]:
    """Turn SIGTERM into SystemExit, so that a run is marked INTERRUPTED."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def exit(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupted(options: Namespace) -> str:
    resumes = hasattr(options, "resume") and not getattr(options, "dry_run", False)
    return "interrupted" + ("; the same command with --resume goes on where it stopped" if resumes else "")
