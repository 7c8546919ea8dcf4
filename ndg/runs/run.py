"""A running run, which logs metrics, results, artefacts and its end.

    with ndg.runs.start(store, "train", experiment, "runs") as run:
        run.metric({"epoch": 1, "loss": 0.4})
        run.result("train", {"validation_accuracy": 0.98})
        run.artefact(run.folder / "model.safetensors")

Each call adds a line to the journal of the run and gives it to the operating system; a thread saves the journal to the
disk and sends the record to the store (`ndg.runs.keeper`). If the store does not answer, the run warns once and goes
on. An interrupt makes it INTERRUPTED, any other exception FAILED.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from ndg.addresses import mask
from ndg.errors import OutputError, RunNotFoundError, StoreError
from ndg.progress import log
from ndg.runs import edits, journal, long_values, record
from ndg.runs.journal import Journal
from ndg.runs.keeper import Keeper
from ndg.runs.plain import ROWS, check_key, check_size, is_small, now, plain, shortened, size, stored_path, too_large
from ndg.runs.record import COMPLETED, FAILED, INTERRUPTED, RunRecord
from ndg.runs.store import Store

NAMES = 150_000
"""Bytes of the names of all metrics."""


class Run:
    """Context of one run, made by `start` and `resume`."""

    def __init__(self, store: Store, root: Path, begin: Callable[[Run], object], beat: float = record.BEAT) -> None:
        self.root = root
        self._store = store
        self._begin = begin
        self._lock = threading.RLock()
        self._stages: set[str] = set()
        self._epochs: dict[Any, int] = {}  # rows by their epochs
        self._names: set[str] = set()  # of metrics
        self._bytes = 0  # of rows
        self._record = RunRecord()
        self._journal: Journal | None = None
        self._keeper = Keeper(store, self, beat)

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def folder(self) -> Path:
        return self._record.folder

    @property
    def record(self) -> RunRecord:
        """A copy of the present document, with its long values."""
        return copy.deepcopy(self._whole()).loaded()

    def metric(self, row: Mapping[str, Any]) -> None:
        """Add a row of figures, in place of the same and later epochs."""
        with self._lock:
            rows = len(self._record["metrics"])
            epoch = row.get("epoch")
            keep = rows if epoch is None else self._epochs.get(epoch, rows)
            new, lost = plain(dict(row), f"metrics.{keep}")
            if self._bytes > ROWS:
                limit = f"the rows of a run take at most {ROWS / 1e6:.0f} MB"
                raise too_large("metrics", f"take {self._bytes / 1e6:.1f}", limit)
            if not new.keys() <= self._names:
                self._check_names(new)
            changes = self._shorten(new, keep)
            line: journal.Entry = {"row": [keep, new]}
            nonfinite = self._record["nonfinite"]
            if lost or (keep < rows and nonfinite):
                stale = tuple(f"metrics.{i}." for i in range(keep, rows))
                fresh = shortened([path for path in nonfinite if not path.startswith(stale)] + lost)
                changes += [[["nonfinite"], fresh]] if fresh != nonfinite else []
            if changes:
                line["put"] = changes
            if keep < rows:
                self._epochs = {name: i for name, i in self._epochs.items() if i < keep}
            if epoch is not None:
                self._epochs[epoch] = keep
            self._names.update(new)
            self._add(line)

    def result(self, stage: str, figures: Mapping[str, Any]) -> None:
        """Write the figures of a stage (`trial.q.test`), once; long values become files (`ndg.runs.long_values`)."""
        with self._lock:
            parts = [check_key(part, f"the stage {stage!r}") for part in stored_path(stage).split(".")]
            for written in sorted(self._stages):
                if f"{stage}.".startswith(f"{written}.") or f"{written}.".startswith(f"{stage}."):
                    raise StoreError(
                        f"each stage of a run is written once; {written!r} is there and {stage!r} would change it; "
                        "give this result another name, or start another run"
                    )
            new, lost = plain(dict(figures), f"results.{stage}")
            lost = shortened(self._record["nonfinite"] + lost)
            small, files = self._fitting(stage, new)
            changes: list[Any] = [[["results", *parts], small], *files]
            if lost != self._record["nonfinite"]:
                changes.append([["nonfinite"], lost])
            self._add({"put": changes}, save=True)
            self._stages.add(stage)

    def artefact(self, path: str | Path, name: str | None = None) -> dict[str, Any]:
        """Log a file with its size and SHA-256. Raises OutputError."""
        path = Path(path).resolve()
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            length = path.stat().st_size
        except OSError as error:
            raise OutputError(
                f"an artefact is a file that has been written; {path} cannot be read: {error.strerror}"
            ) from error
        folder = self.folder.resolve()
        relative = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
        entry = {"name": name or relative, "path": relative, "bytes": length, "sha256": digest}
        with self._lock:
            others = [old for old in self._record["artefacts"] if old["name"] != entry["name"]]
            check_size({**self._record, "artefacts": [*others, entry]}, "artefacts")
            self._add({"put": [[["artefacts"], [*others, entry]]]})
        return entry

    def _fitting(self, stage: str, figures: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        """The figures of a stage with long ones in files, and the change of artefacts. Raises StoreError."""
        for bound in long_values.STEPS:
            small, files = long_values.parted(figures, f"results.{stage}", bound)
            entries = long_values.artefacts(files, self._record["artefacts"])
            more = {"results": [self._record["results"], {stage: small}], "artefacts": entries}
            if bound == long_values.STEPS[-1]:
                check_size({**self._record, **more}, "results")
            elif is_small({**self._record, **more}):
                break
        return small, self._written(files)

    def _shorten(self, row: dict[str, Any], number: int) -> list[Any]:
        """Move long values of a row to files; return the change of artefacts. Raises StoreError."""
        files: long_values.Files = {}
        for name, value in row.items():
            if isinstance(value, dict | list | str):
                row[name], more = long_values.parted(value, f"metrics.{number}.{name}")
                files |= more
        if files:
            entries = long_values.artefacts(files, self._record["artefacts"])
            check_size({**self._record, "artefacts": entries}, "files of long metrics")
        return self._written(files)

    def _check_names(self, row: Mapping[str, Any]) -> None:
        if size(dict.fromkeys(self._names | row.keys(), "0")) > NAMES:
            limit = f"the names of all metrics of a run take at most {NAMES / 1e3:.0f} kB"
            raise too_large("a row", f"has {len(row):,} names after {len(self._names):,} others", limit)

    def _written(self, files: long_values.Files) -> list[Any]:
        """Write files of long values; return the change of artefacts."""
        if not files:
            return []
        long_values.write(files, self.folder)
        return [[["artefacts"], long_values.artefacts(files, self._record["artefacts"])]]

    def __enter__(self) -> Run:
        try:
            self._begin(self)
        except BaseException as error:
            if self._record:  # an interrupt while the store is slow to answer
                self.__exit__(type(error), error, None)
            raise
        self._keeper.start(self.id)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.stop()
        if error is None:
            status, reason = COMPLETED, None
        elif isinstance(error, KeyboardInterrupt | SystemExit):  # a handler of SIGTERM raises the latter
            status, reason = INTERRUPTED, None
            self._catch_up()
        else:
            status, reason = FAILED, mask(f"{type(error).__name__}: {error}")[:500]
        with self._lock:
            try:
                try:
                    self._end(status, reason)
                except KeyboardInterrupt:  # a second, impatient one
                    self._end(status, reason)
                    raise
            except OutputError as failure:
                if error is None:
                    raise
                log.warning("%s", failure)
            finally:
                self._keeper.finish()
                if self._journal is not None:
                    self._journal.close()

    def open(self, document: RunRecord) -> bool:
        """Begin with a document; False if its id is taken in the store."""
        document = RunRecord({**document, "log": self._store.name})
        check_size(document, "its config")
        self._journal = Journal.create(document.folder, record.first_line(document))
        self._start_with(document)
        try:
            if not self._store.insert(self.saved()):
                self._journal.close()
                self._record = RunRecord()
                return False
        except StoreError:
            self._keeper.send()  # which warns
        return True

    def reopen(self, before: RunRecord, document: RunRecord) -> None:
        """Go on as a document, if nobody else went on since `before` was read. Raises RunNotFoundError."""
        folder = document.folder
        self._journal = Journal.reopen(folder)
        try:
            present = record.read(folder)
            if present is None or present.get("revision", 0) != before.get("revision", 0):
                raise RunNotFoundError(
                    f"a run goes on once; another process went on with {before.id} meanwhile; start another without "
                    "--resume, or resume again"
                )
            self._journal.cut(present.get("journal", 0))
            document = RunRecord({**document, "log": self._store.name})
            self._journal.append(record.first_line(document))
            self._journal.sync()
        except BaseException:
            self._journal.close()
            raise
        self._start_with(document)
        self._keeper.send()

    def _start_with(self, document: RunRecord) -> None:
        self._record = RunRecord(journal.changed({}, record.first_line(document)))
        self._epochs, self._bytes = {}, size(document["metrics"])
        self._names = {name for row in document["metrics"] for name in row}
        for i, row in enumerate(document["metrics"]):
            if row.get("epoch") is not None:
                self._epochs.setdefault(row["epoch"], i)

    def _end(self, status: str, reason: str | None) -> None:
        ended, attempts = now(), copy.deepcopy(self._record["attempts"])
        attempts[-1] |= {"ended": ended, "status": status, "error": reason, "epochs": len(self._record["metrics"])}
        fields = {"status": status, "error": reason, "ended": ended, "attempts": attempts}
        self._add({"put": [[[name], value] for name, value in fields.items()]}, save=True)

    def _add(self, entry: journal.Entry, save: bool = False) -> None:
        """Add a line to the journal, also to the disk with `save`. Raises OutputError."""
        assert self._journal is not None
        entry = {"revision": self._record["revision"] + 1, "at": now(), **entry}
        try:
            length = self._journal.append(entry)
        except OutputError:
            self._take(entry)  # a full disk must not keep it from the store
            raise
        self._take(entry)
        self._bytes += length if "row" in entry else 0
        if save:
            self._journal.sync()

    def _take(self, entry: journal.Entry) -> None:
        self._record = RunRecord(journal.changed(self._record, entry))
        self._keeper.notify()

    def _catch_up(self) -> None:
        """Take lines that an interrupt left in the journal alone; an unreadable journal changes nothing."""
        assert self._journal is not None
        with suppress(OSError, LookupError, TypeError, ValueError):
            lines, _, reason = journal.entries(self._journal.path.read_bytes())
            if not reason and lines[-1]["revision"] > self._record["revision"]:
                self._record = RunRecord(journal.replayed(lines))

    def saved(self) -> RunRecord:
        """The present record, after saving it to the disk."""
        whole = self._whole()
        self.sync()
        return whole

    def sync(self) -> None:
        """Write the journal to the disk. Raises OutputError."""
        assert self._journal is not None
        self._journal.sync()

    def _whole(self) -> RunRecord:
        """The present record with the edits in its folder."""
        assert self._journal is not None
        with self._lock:
            length = self._journal.size
            lists = {name: list(self._record[name]) for name in ("metrics", "times") if name in self._record}
            present = {**self._record, **lists, "journal": length}
        both = edits.fields(edits.merged(edits.of(present), edits.read(self.folder)))
        return record.signed({**present, **both})

    def beat(self) -> None:
        """Add a sign of life. Raises OutputError."""
        with self._lock:
            self._add({})
