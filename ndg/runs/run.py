"""A running run, which logs metrics, results, artefacts and its end.

    with ndg.runs.start(store, "train", experiment, "runs") as run:
        run.metric({"epoch": 1, "loss": 0.4})
        run.result("train", {"validation_accuracy": 0.98})
        run.artefact(run.folder / "model.safetensors")

Everything goes to `record.json` first, then to the store. If the store does not answer, the run warns once and
continues in the embedded file of its root. An interrupt makes it INTERRUPTED, any other exception FAILED.
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

from ndg.errors import OutputError, StoreError
from ndg.progress import log
from ndg.runs import record
from ndg.runs.plain import LIMIT, check_key, now, plain, size, too_large
from ndg.runs.provenance import mask
from ndg.runs.record import COMPLETED, FAILED, INTERRUPTED, RunRecord
from ndg.runs.store import FILE, Store, connect

EDITS = (*record.EDITS, "checksum_edits")


class Run:
    """Context of one run, made by `start` and `resume`."""

    def __init__(self, store: Store, root: Path, begin: Callable[[Run], object], beat: float = record.BEAT) -> None:
        self.root = root
        self._store: Store | None = store
        self._primary = store
        self._begin = begin
        self._beat = beat
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._stages: set[str] = set()
        self._pending: set[str] = set()  # fields that the store has not been told of
        self._record = RunRecord()

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def folder(self) -> Path:
        return self._record.folder

    @property
    def record(self) -> RunRecord:
        """A copy of the present document."""
        with self._lock:
            return copy.deepcopy(self._record)

    def metric(self, row: Mapping[str, Any]) -> None:
        """Add a row of figures, in place of the same and later epochs."""
        with self._lock:
            rows = self._record["metrics"]
            epoch = row.get("epoch")
            keep = next((i for i, old in enumerate(rows) if epoch is not None and old.get("epoch") == epoch), len(rows))
            new, lost = plain(dict(row), f"metrics.{keep}")
            stale = tuple(f"metrics.{i}." for i in range(keep, len(rows)))
            nonfinite = [path for path in self._record["nonfinite"] if not path.startswith(stale)] + lost
            self._write(metrics=[*rows[:keep], new], nonfinite=nonfinite)

    def result(self, stage: str, figures: Mapping[str, Any]) -> None:
        """Write the figures of a stage (`trial.q.test`), once."""
        with self._lock:
            parts = [check_key(part, f"the stage {stage!r}") for part in stage.split(".")]
            for written in sorted(self._stages):
                if f"{stage}.".startswith(f"{written}.") or f"{written}.".startswith(f"{stage}."):
                    raise StoreError(
                        f"each stage of a run is written once; {written!r} is there and {stage!r} would change it; "
                        "give this result another name, or start another run"
                    )
            new, lost = plain(dict(figures), f"results.{stage}")
            results = copy.deepcopy(self._record["results"])
            home = results
            for part in parts[:-1]:
                home = home.setdefault(part, {})
            home[parts[-1]] = new
            self._write(results=results, nonfinite=self._record["nonfinite"] + lost)
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
            self._write(artefacts=[*others, entry])
        return entry

    def __enter__(self) -> Run:
        try:
            self._begin(self)
        except BaseException as error:
            if self._record:  # an interrupt while the store is slow to answer
                self.__exit__(type(error), error, None)
            raise
        self._thread = threading.Thread(target=self._keep_beating, name=f"heartbeat {self.id}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if error is None:
            status, reason = COMPLETED, None
        elif isinstance(error, KeyboardInterrupt | SystemExit):  # a handler of SIGTERM raises the latter
            status, reason = INTERRUPTED, None
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
                if status != INTERRUPTED and self._store is not self._primary:  # a lost store may answer again
                    with suppress(StoreError):
                        self._primary.replace(self._record | self._edits(self._primary))
                        message = "the run log %s answers again: run %s is written there as well"
                        log.info(message, self._primary.name, self.id)
                for store in (self._store, self._primary):
                    if store is not None:
                        store.close()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def open(self, document: RunRecord, new: bool) -> bool:
        """Write a document as this run's; False if its id is taken."""
        document = record.signed(document)
        record.write(document, document.folder)
        self._record = document
        try:
            if not new:
                self._primary.replace(document)
            elif not self._primary.insert(document):
                self._record = RunRecord()
                return False
        except StoreError as error:
            self._fall_back(error)
        return True

    def _end(self, status: str, reason: str | None) -> None:
        ended, attempts = now(), copy.deepcopy(self._record["attempts"])
        attempts[-1] |= {"ended": ended, "status": status, "error": reason, "epochs": len(self._record["metrics"])}
        self._write(status=status, error=reason, ended=ended, attempts=attempts)

    def _write(self, **fields: Any) -> None:
        """Change fields in the record and the store. Raises StoreError."""
        changed = self._record | fields | {"heartbeat": now()}
        if (length := size(dict(changed))) > LIMIT:
            largest = max(fields, key=lambda name: size(fields[name]))
            raise too_large(largest, f"would make it {length / 1e6:.1f}")
        self._record = record.signed(changed)
        self._pending |= {*fields, "heartbeat", "format", "checksum_record", "checksum_metrics"}
        try:
            record.write(self._record, self.folder)
        except OutputError:  # a full disk must not keep the end of a run from a store elsewhere
            self._to_store()
            raise
        self._to_store()

    def _to_store(self) -> None:
        if self._store is None:
            return
        try:
            if not self._store.update(self.id, {"$set": {name: self._record[name] for name in self._pending}}):
                self._store.replace(self._record)  # somebody removed the document or the file
            edits = self._edits(self._store)
        except StoreError as error:
            self._fall_back(error)
            return
        self._pending.clear()
        if any(self._record[name] != value for name, value in edits.items()):
            self._record |= edits
            record.write(self._record, self.folder)

    def _edits(self, store: Store) -> dict[str, Any]:
        """Tags and notes in the store, unless they are damaged there."""
        theirs = next(iter(store.find({"_id": self.id}, fields=dict.fromkeys(EDITS, 1))), {})
        return {} if record.is_damaged_edits(theirs) else {name: theirs[name] for name in EDITS if name in theirs}

    def _fall_back(self, error: StoreError) -> None:
        """Continue in the file of the root, or in record.json alone."""
        spare, where, store = connect(self.root / FILE), str(self.folder / record.RECORD), None
        if self._store is not None and self._store.path != spare.path:
            with suppress(StoreError):
                spare.replace(self._record)
                store, where = spare, f"{spare.name} and {where}"
        self._store = store
        log.warning("%s. Run %s goes on and is written to %s", error, self.id, where)

    def _keep_beating(self) -> None:
        while not self._stop.wait(self._beat):
            with self._lock:
                if not self._stop.is_set():
                    with suppress(OutputError):
                        self._write()
