"""Scripts that run in a process of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent


def begin(text: str, *arguments: object, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """A script on its way, from another folder and in a process group of its own."""
    path = folder / "script.py"
    path.write_text(textwrap.dedent(text))
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, str(path), *map(str, arguments)],
        cwd=folder,
        env=clean | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill(child: subprocess.Popen[str]) -> None:
    """Kill what is left of the process and of all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def script(text: str, *arguments: object, folder: Path, code: int = 0, **environment: str) -> str:
    """What a script prints."""
    child = begin(text, *arguments, folder=folder, **environment)
    try:
        told, errors = child.communicate(timeout=200)
    finally:
        kill(child)
    assert child.returncode == code, errors
    return told


def alive_process(pid: int) -> bool:
    """Whether a process has not ended; one that waits to be reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> Iterator[tuple[int, str]]:
    """Processes that a process began, and theirs, with their commands."""
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and int(Path(folder, "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                yield int(folder.name), Path(folder, "cmdline").read_text()
                yield from descendants(int(folder.name))
        except OSError:
            continue
