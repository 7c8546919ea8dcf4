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
checksum    of all but tags and notes, the only fields that change after the end; missing in runs of earlier versions
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ndg import atomic
from ndg.errors import RunNotFoundError
from ndg.progress import log

RECORD = "record.json"
RUNNING, COMPLETED, FAILED, INTERRUPTED = "RUNNING", "COMPLETED", "FAILED", "INTERRUPTED"

FIELDS: dict[str, type] = {
    **dict.fromkeys(("_id", "kind", "name", "status", "started", "heartbeat", "digest", "training_digest"), str),
    **dict.fromkeys(("config", "seeds", "versions", "results"), dict),
    **dict.fromkeys(("metrics", "artefacts", "attempts", "nonfinite"), list),
}
"""Types of fields that readers count on."""

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
        if here := [place for place in places if os.path.isdir(place)]:
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
    """Write a document with its checksum to `folder/record.json`, atomically. Raises OutputError."""
    text = json.dumps(signed(document), indent=1, ensure_ascii=False, allow_nan=False)
    remedy = "free the disk, make the folder writable, or choose another place for runs"
    atomic.write(folder / RECORD, f"{text}\n", parents=False, remedy=remedy)


def read(folder: Path) -> RunRecord | None:
    """The record in a folder; None, with a warning if it is damaged, where it cannot be read."""
    try:
        document = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        reason = damage(document)
    except OSError:
        return None
    except (ValueError, RecursionError) as error:
        reason = str(error)
    if reason:
        log.warning("%s is left out, because it is damaged: %s; restore the file", folder / RECORD, reason)
        return None
    return RunRecord(document)


def signed(document: dict[str, Any]) -> RunRecord:
    """The document with its checksum."""
    return RunRecord(document | {"checksum": _checksum(document)})


def damage(document: Any) -> str:
    """Why a document is no whole record, or nothing."""
    if not isinstance(document, dict):
        return "a record is a dictionary"
    if "checksum" in document and document["checksum"] != _checksum(document):
        return f"its checksum says {document['checksum']}, its content {_checksum(document)}"
    for name, kind in FIELDS.items():
        if not isinstance(document.get(name), kind):
            return f"{name} must be a {kind.__name__}; got {str(document.get(name))[:80]!r}"
    if not (isinstance(document.get("notes", ""), str) and _is_texts(document.get("tags", []))):
        return "tags must be a list of texts, and notes a text"
    try:
        times = [document["started"], document["heartbeat"], *(attempt["started"] for attempt in document["attempts"])]
        for text in times + ([document["ended"]] if document.get("ended") else []):
            if datetime.fromisoformat(text).tzinfo is None:
                return f"a time must have a time zone; got {text!r}"
    except (ValueError, TypeError, LookupError) as error:
        return f"a time must be written by ISO 8601; {error}"
    return ""


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _checksum(document: dict[str, Any]) -> str:
    """Checksum of what nobody changes after the end."""
    lasting = {name: value for name, value in document.items() if name not in ("checksum", "tags", "notes")}
    return hashlib.blake2b(json.dumps(lasting, sort_keys=True).encode(), digest_size=16).hexdigest()


def read_all(root: Path) -> list[RunRecord]:
    """The records in all folders directly under `root`, oldest first."""
    records = [read(path.parent) for path in sorted(root.glob(f"*/{RECORD}"))]
    return [record for record in records if record is not None]
