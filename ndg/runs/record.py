"""One run as a plain document, and how it is read from its journal.

_id         20261121-001200-digits_mlp-train-3f2a, UTC: sorts by time, unique, and the name of the run's folder
format      3; runs of earlier versions: 1 and 2, in a file `record.json`
revision    number of the last change; of two versions of a run the one with the higher number is newer
journal     length of the journal at that change, in bytes
log         the store where the run is logged
boot, born  id of the boot of the machine, and start of the process in ticks after it
kind        train or align;  name  of the experiment;  parent  the train run that an align run is about
config      the experiment as it was resolved;  digest, training_digest  of it;  seeds  {seed, data, trial}
versions    of Python, ndg and the packages below;  commit, dirty  of the checkout, null outside one
host, pid, device, command, folder
status      RUNNING, COMPLETED, FAILED or INTERRUPTED, as sacred writes it;  error  in a line, or null
started, ended, heartbeat      UTC, ISO 8601
attempts    one entry for each start of this run: a resumed run has several
metrics     one row per epoch;  times  when each was logged (in a store both are in blocks, see `ndg.runs.blocks`)
results     results.<stage>.<figure>, such as results.trial.q.test.aligned; a stage is written once
artefacts   {name, path, bytes, sha256}; a path is relative to the folder when the file lies in it
nonfinite   dotted paths of numbers that were not finite: they hold null
checksum_metrics   of metrics and times, so that a list of runs need not read them to compare the others
tags, notes, edits             see `ndg.runs.edits`
checksum_edits     of these, which anybody may change at any time
checksum_record    of all else, and of checksum_metrics; in format 1 a `checksum` of this and the metrics, or none
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ndg import atomic
from ndg.errors import RunNotFoundError
from ndg.literal import whole_number
from ndg.progress import log
from ndg.runs import edits, journal, long_values
from ndg.runs.plain import stored_path
from ndg.runs.provenance import lives
from ndg.signed_lines import signed_line

RECORD = journal.FILE
EARLIER = "record.json"
"""The whole document, as formats 1 and 2 wrote it."""
FORMAT = 3
RUNNING, COMPLETED, FAILED, INTERRUPTED = "RUNNING", "COMPLETED", "FAILED", "INTERRUPTED"

FIELDS: dict[str, type] = {
    **dict.fromkeys(("_id", "kind", "name", "status", "started", "heartbeat", "digest", "training_digest"), str),
    **dict.fromkeys(("config", "seeds", "versions", "results"), dict),
    **dict.fromkeys(("metrics", "artefacts", "attempts", "nonfinite"), list),
}
"""Types of fields that readers count on."""

EDITS = edits.FIELDS
"""Fields that others may change, also while a run is on."""
SUMS = ("checksum_metrics", "checksum_edits", "checksum_record")

BEAT = 15.0  # seconds between two heartbeats of a run
SILENT = 8 * BEAT  # seconds without one after which a run counts as dead


class RunRecord(dict[str, Any]):
    """A run document: a dictionary with helpers and a notebook view.

    >>> record = ndg.RunRecord({"id": "a", "results": {"accuracy": {"rate": 0.9}}})
    >>> record.figure("results.accuracy.rate")
    0.9
    """

    @property
    def id(self) -> str:
        return str(self["_id"])

    @property
    def folder(self) -> Path:
        return Path(self["folder"])

    @property
    def journal(self) -> Path:
        """Its one true copy."""
        return self.folder / RECORD

    def figure(self, path: str) -> Any:
        """The value at a dotted path of the document, or None; `load` also reads files."""
        value: Any = self
        for part in stored_path(path).split("."):
            value = _inside(value, part)
        return value

    def load(self, path: str) -> Any:
        """The value at a dotted path, or None; long values are read from their files.

        Raises OutputError for a file that is missing or damaged.
        """
        value: Any = self
        for part in stored_path(path).split("."):
            value = _inside(value, part)
            if long_values.is_place(value):
                value = long_values.from_file(value, self.folder)
        return long_values.whole(value, self.folder)

    def loaded(self) -> RunRecord:
        """The record with long values of results and metrics from their files.

        Raises OutputError for a file that is missing or damaged.
        """
        if not any(long_values.NAME.fullmatch(entry["path"]) for entry in self.get("artefacts", [])):
            return self
        results = long_values.whole(self["results"], self.folder)
        rows = [long_values.whole(row, self.folder) for row in self.get("metrics", [])]
        return RunRecord({**self, "results": results} | ({"metrics": rows} if "metrics" in self else {}))

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
        """Whether a RUNNING run has no process, or is silent for long.

        Silence counts on a machine that cannot be asked.
        """
        if self["status"] != RUNNING:
            return False
        alive = lives(self)
        return self.silence(now) > SILENT if alive is None else not alive

    def state(self, now: datetime | None = None) -> str:
        """The status, with the silence of a dead run."""
        if not self.dead(now):
            return str(self["status"])
        gone = "process gone, " if lives(self) is False else ""
        return f"{self['status']} ({gone}silent for {span(self.silence(now))})"

    def __repr__(self) -> str:
        return f"RunRecord({self.id}, {self.state()})"

    def _repr_html_(self) -> str:
        from ndg.runs.show import html

        return html(self)


def _inside(value: Any, part: str) -> Any:
    """The value of a key or an element of a list, or None."""
    if isinstance(value, dict):
        return value.get(part)
    number = whole_number(part) if isinstance(value, list) else None
    return value[number] if number is not None and number < len(value) else None


def span(seconds: float) -> str:
    """A duration: `5 s`, `12 min`, `3 h`, `2 d`."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= (2 if unit == "d" else 1) * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds // 1:.0f} s"


def write(document: dict[str, Any], folder: Path) -> None:
    """Write a document as a journal of one line, atomically.

    Raises OutputError.
    """
    line = signed_line(first_line(document))
    atomic.write(folder / RECORD, line, parents=False, remedy=journal.REMEDY)


def first_line(document: dict[str, Any]) -> journal.Entry:
    """The entry that a journal begins with."""
    return {"revision": document.get("revision", 0), "at": document["heartbeat"], "document": document}


def read(folder: Path) -> RunRecord | None:
    """The record in a folder, with this folder.

    None if there is none, or (with a warning) a damaged one.
    """
    try:
        name, content = _content(folder)
    except OSError:
        return None
    document: Any = {}
    try:
        if name == EARLIER:
            document = json.loads(content.decode("utf-8"))
            reason = damage(document)
        else:
            lines, length, reason = journal.entries(content)
            if not reason:
                document = signed(journal.replayed(lines) | {"journal": length})
                reason = damage(document)
    except (ValueError, RecursionError) as error:
        reason = str(error)
    except (LookupError, TypeError, AttributeError) as error:
        reason = f"its lines do not fit together ({error!r})"
    if reason:
        log.warning("%s is left out, because it is damaged: %s; restore the file", folder / name, reason)
        return None
    if others := edits.read(folder):
        document = signed({**document, **edits.fields(edits.merged(edits.of(document), others))})
    return placed(RunRecord(document), folder.resolve())


def _content(folder: Path) -> tuple[str, bytes]:
    """Name and content of the file that a run is read from.

    Raises OSError.
    """
    try:
        if content := (folder / RECORD).read_bytes():
            return RECORD, content
    except FileNotFoundError:
        pass
    return EARLIER, (folder / EARLIER).read_bytes()


def placed(record: RunRecord, folder: Path) -> RunRecord:
    """The record with `folder` as its folder, where a copied or moved run lies."""
    if record["folder"] == str(folder):
        return record
    moved = RunRecord(record | {"folder": str(folder)})
    if moved.pop("checksum", None) is None and "checksum_record" in moved:
        moved["checksum_record"] = _checksum(_parts(moved)["checksum_record"])
    return moved


def signed(document: dict[str, Any]) -> RunRecord:
    """The document with its checksums."""
    whole = {name: value for name, value in document.items() if name != "checksum"} | {"format": FORMAT}
    for name in SUMS:
        whole[name] = _checksum(_parts(whole)[name])
    return RunRecord(whole)


def damage(document: Any, metrics: bool = True) -> str:
    """Why a document, also one read without its metrics, is no whole record.

    Nothing for a whole one.
    """
    if not isinstance(document, dict):
        return "a record is a dictionary"
    if (number := document.get("format")) not in (1, 2, FORMAT):
        return f"its format must be 1, 2 or {FORMAT}, unless a newer ndg wrote it; got {str(number)[:80]!r}"
    for name, part in _expected(document, metrics).items():
        if (stored := document.get(name)) != (computed := _checksum(part)):
            return f"its checksum says {str(stored)[:80]}, its content {computed} ({name})"
    for name, kind in FIELDS.items():
        if not isinstance(document.get(name), kind) and (metrics or name != "metrics"):
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


def is_damaged_edits(fields: dict[str, Any]) -> bool:
    """Whether tags and notes, read alone, differ from their checksum."""
    return "checksum_edits" in fields and fields["checksum_edits"] != _checksum(_parts(fields)["checksum_edits"])


def _expected(document: dict[str, Any], metrics: bool) -> dict[str, Any]:
    """What each checksum that the document must have covers."""
    parts = _parts(document)
    if document["format"] == 1 and "checksum_record" not in document:
        edits = {"checksum_edits": parts["checksum_edits"]} if "checksum_edits" in document else {}
        lasting = {name: value for name, value in document.items() if name not in ("checksum", *EDITS, *SUMS)}
        return edits | ({"checksum": lasting} if "checksum" in document else {})
    return parts if metrics else {name: part for name, part in parts.items() if name != "checksum_metrics"}


def _parts(document: dict[str, Any]) -> dict[str, Any]:
    """What each checksum covers."""
    apart = ("metrics", "times", *EDITS, "checksum_edits", "checksum_record")
    named = EDITS if document.get("format") == FORMAT else ("tags", "notes")
    rows = document.get("metrics")
    return {
        "checksum_metrics": [rows, document["times"]] if "times" in document else rows,
        "checksum_edits": [document.get(name) for name in named],
        "checksum_record": {name: value for name, value in document.items() if name not in apart},
    }


def _checksum(part: Any) -> str:
    return hashlib.blake2b(json.dumps(part, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def read_all(root: Path) -> list[RunRecord]:
    """The records in all folders directly under `root`, oldest first."""
    folders = sorted({path.parent for name in (RECORD, EARLIER) for path in root.glob(f"*/{name}")})
    records = [read(folder) for folder in folders]
    return [record for record in records if record is not None]
