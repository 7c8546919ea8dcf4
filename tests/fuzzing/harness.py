"""Read damaged files, and sort the outcomes: same, refused, changed, traceback, hang."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from ndg.errors import NDGError
from ndg.progress import log

SAME, REFUSED, CHANGED, TRACEBACK, HANG = "same", "refused", "changed", "traceback", "hang"
FAULTS = (CHANGED, TRACEBACK, HANG)

CPU_SECONDS = 20
"""Processor time after which a read counts as hanging; reads here take milliseconds."""
MEMORY = 4 << 30
"""Bytes of address space that a read may add."""


@dataclass(frozen=True)
class Kind:
    """One kind of input: how a sound one is made, damaged and read.

    `make` writes sound files into a folder and returns the path to damage. `damage(content, rng)` gives other content
    of that file. `read` gives a comparable value. `accepts(value, sound)` says whether a value may come out of a
    damaged file without an error; by default only that of the sound file.
    """

    make: Callable[[Path], Path]
    damage: Callable[[bytes, Random], bytes]
    read: Callable[[Path], Any]
    accepts: Callable[[Any, Any], bool] = lambda value, sound: value == sound


@dataclass(frozen=True)
class Case:
    """Outcome of one damaged input; `number` makes it again."""

    kind: str
    number: int
    outcome: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.number}: {self.outcome}\n{self.detail}"


class _HangError(BaseException):
    """Raised when the processor time is used up."""


def run(name: str, kind: Kind, numbers: range, seconds: float = CPU_SECONDS) -> Iterator[Case]:
    """Outcomes of the damaged inputs with these numbers."""
    with tempfile.TemporaryDirectory() as place, _silent():
        sound = Path(place) / "sound"
        sound.mkdir()
        target = kind.make(sound)
        content, value = target.read_bytes(), kind.read(target)
        for number in numbers:
            copy = Path(place) / "damaged"
            shutil.copytree(sound, copy)
            path = copy / target.relative_to(sound)
            path.write_bytes(kind.damage(content, Random(f"{name} {number}")))
            with _limits(seconds):
                yield Case(name, number, *_outcome(kind, path, value))
            shutil.rmtree(copy)


def _outcome(kind: Kind, path: Path, sound: Any) -> tuple[str, str]:
    try:
        value = kind.read(path)
    except NDGError as error:
        return (REFUSED, str(error)) if str(error) else (TRACEBACK, "an error without a message")
    except _HangError:
        return HANG, traceback.format_exc(limit=-6)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return TRACEBACK, traceback.format_exc(limit=-6)
    return (SAME, "") if kind.accepts(value, sound) else (CHANGED, f"{value}\nsound: {sound}"[:2000])


@contextmanager
def _limits(seconds: float) -> Iterator[None]:
    """Bound processor time and memory of a block."""

    def stop(number: int, frame: Any) -> None:
        raise _HangError

    before = signal.signal(signal.SIGPROF, stop)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _silent() -> Iterator[None]:
    """Drop the package's messages, thousands of which would come."""
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def anything(value: Any, sound: Any) -> bool:
    """For formats without checksums, whose damage may be other data."""
    return True
