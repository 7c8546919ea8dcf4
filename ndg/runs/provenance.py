"""Origin of a run: versions, commit, machine and command."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

from ndg.addresses import mask

PACKAGES = (
    *("torch", "numpy", "numba", "networkx", "ray", "transformers", "scikit-learn", "scipy", "pandas", "safetensors"),
    *("omegaconf", "pymongo", "graphviz", "pygraphviz"),
)


def masked(value: Any) -> Any:
    """A plain value with all its texts masked."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [masked(item) for item in value]
    if isinstance(value, dict):
        return {key: masked(item) for key, item in value.items()}
    return value


def versions() -> dict[str, str | None]:
    """Versions of Python, this package and its dependencies."""
    from importlib.metadata import PackageNotFoundError, version

    import ndg

    found: dict[str, str | None] = {"python": platform.python_version(), "ndg": ndg.__version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def commit(folder: Path | None = None) -> tuple[str | None, bool | None]:
    """Commit and changes of this package's checkout; (None, None) outside one."""
    folder = Path(__file__).resolve().parent.parent if folder is None else folder
    # An installed copy inside somebody's checkout (its .venv) is not that checkout's code: it must be tracked.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None, None
    head = _git(folder, "rev-parse", "HEAD")
    if head is None:
        return None, None
    changes = _git(folder, "status", "--porcelain")
    return head.strip(), None if changes is None else bool(changes.strip())


def whereabouts(device: str | None) -> dict[str, Any]:
    """Machine, process, commit and command, as fields of a document."""
    sha, dirty = commit()
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "boot": boot(),
        "born": born(os.getpid()),
        "device": device,
        "commit": sha,
        "dirty": dirty,
        "command": mask(shlex.join(sys.argv)),
    }


def boot() -> str | None:
    """The id of the present boot of this machine; None where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def born(pid: int) -> int | None:
    """When a process began, in ticks after the boot; None if there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def lives(document: dict[str, Any]) -> bool | None:
    """Whether the process of a run exists.

    None for one on another machine or of an earlier version.
    """
    pid = document.get("pid")
    if document.get("host") != platform.node() or not isinstance(pid, int):
        return None
    if document.get("boot") and document.get("born"):
        return document["boot"] == boot() and document["born"] == born(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return None


def _git(folder: Path, *arguments: str) -> str | None:
    import subprocess

    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
