"""One run as a plain document, and its file `record.json`.

_id         20261121-001200-digits_mlp-train-3f2a, UTC: sorts by time, unique, and the name of the run's folder
format      1
kind        train or align;  name  of the experiment;  parent  the train run that an align run is about
config      the experiment as it was resolved;  digest, training_digest  of it;  seeds  {seed, data, trial}
versions    of Python, ndg and the packages below;  commit, dirty  of the checkout, null outside one
host, pid, device, command, folder
status      RUNNING, COMPLETED, FAILED or INTERRUPTED, as sacred writes it;  error  in a line, or null
started, ended, heartbeat      UTC, ISO 8601
attempts    one entry for each start of this run: a resumed run has several
metrics     one row per epoch
results     results.<stage>.<figure>, such as results.trial.q.test.aligned; a stage is written once
artefacts   {name, path, bytes, sha256}; a path is relative to the folder when the file lies in it
nonfinite   dotted paths of numbers that were not finite: they hold null
tags, notes the only fields that change after the end
"""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ndg import atomic
from ndg.errors import RunNotFoundError

RECORD = "record.json"
RUNNING, COMPLETED, FAILED, INTERRUPTED = "RUNNING", "COMPLETED", "FAILED", "INTERRUPTED"

BEAT = 15.0  # seconds between two heartbeats of a run
SILENT = 8 * BEAT  # seconds without one after which a run counts as dead


class RunRecord(dict[str, Any]):
    """A run document: a dictionary with helpers and a notebook view."""

    @property
    def id(self) -> str:
        return str(self["_id"])

    @property
    def folder(self) -> Path:
        return Path(self["folder"])

    def figure(self, path: str) -> Any:
        """The value at a dotted path, or None."""
        value: Any = self
        for part in path.split("."):
            if isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            elif isinstance(value, dict) and part in value:
                value = value[part]
            else:
                return None
        return value

    def locate(self, root: Path | None = None) -> Path:
        """The run's folder here, or under `root`. Raises RunNotFoundError."""
        places = [self.folder, *([root / self.id] if root is not None else [])]
        if here := [place for place in places if place.is_dir()]:
            return here[0]
        raise RunNotFoundError(
            f"the files of run {self.id} are on {self.get('host')} in {self.folder}, and not here; "
            f"copy that folder to {places[-1]}, or work on that machine"
        )

    def artefact(self, name: str, root: Path | None = None) -> Path:
        """Where the artefact of that name lies."""
        paths = {entry["name"]: entry["path"] for entry in self.get("artefacts", [])}
        if name not in paths:
            raise RunNotFoundError(f"run {self.id} has no artefact {name!r}; it has: {', '.join(paths) or 'none'}")
        return self.locate(root) / paths[name]

    def silence(self, now: datetime | None = None) -> float:
        """Seconds since the last heartbeat."""
        return max(0.0, ((now or datetime.now(UTC)) - datetime.fromisoformat(self["heartbeat"])).total_seconds())

    def dead(self, now: datetime | None = None) -> bool:
        """Whether a RUNNING run is silent for long or has no process."""
        return self["status"] == RUNNING and (self.silence(now) > SILENT or not self._process_lives())

    def state(self, now: datetime | None = None) -> str:
        """The status, with the silence of a dead run."""
        if not self.dead(now):
            return str(self["status"])
        gone = "" if self._process_lives() else "process gone, "
        return f"{self['status']} ({gone}silent for {span(self.silence(now))})"

    def _process_lives(self) -> bool:
        """Whether the process of the run exists; True on another host."""
        if self.get("host") != platform.node() or not self.get("pid"):
            return True
        try:
            os.kill(int(self["pid"]), 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass
        return True

    def __repr__(self) -> str:
        return f"RunRecord({self.id}, {self.state()})"

    def _repr_html_(self) -> str:
        from ndg.runs.show import html

        return html(self)


def span(seconds: float) -> str:
    """A duration: `5 s`, `12 min`, `3 h`, `2 d`."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= (2 if unit == "d" else 1) * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds // 1:.0f} s"


def write(document: dict[str, Any], folder: Path) -> None:
    """Write a document to `folder/record.json`, atomically. Raises OutputError."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    remedy = "free the disk, make the folder writable, or choose another place for runs"
    atomic.write(folder / RECORD, f"{text}\n", parents=False, remedy=remedy)


def read(folder: Path) -> RunRecord | None:
    """The record in a folder; None if it cannot be read."""
    try:
        document = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    complete = isinstance(document, dict) and {"_id", "status", "heartbeat"} <= document.keys()
    return RunRecord(document) if complete else None


def read_all(root: Path) -> list[RunRecord]:
    """The records in all folders directly under `root`, oldest first."""
    records = [read(path.parent) for path in sorted(root.glob(f"*/{RECORD}"))]
    return [record for record in records if record is not None]
