"""Background thread of a run, which saves its journal and sends its record.

It also shows that the run lives. What is sent was on the disk before, so that a store is never ahead of a journal. The
whole record goes each time, with its revision: a store keeps the newest, whatever arrives twice or late. Sending takes
at most a twentieth of the time.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Protocol, runtime_checkable

from ndg.errors import OutputError, StoreError
from ndg.progress import log
from ndg.runs import merging
from ndg.runs.record import RunRecord
from ndg.runs.store import Store

SYNC = 0.2
"""Seconds of a run that a power cut may cost."""
SHARE = 20
"""Time between two sendings, in units of the time of the first one."""
PATIENCE = 30.0
"""Most seconds between two attempts to reach a store."""


@runtime_checkable
class Kept(Protocol):
    """What a run does for its keeper."""

    def saved(self) -> RunRecord:
        """The present record, after saving it to the disk."""

    def sync(self) -> None:
        """Write the journal to the disk. Raises OutputError."""

    def beat(self) -> None:
        """Add a sign of life. Raises OutputError."""


class Keeper:
    """Sends the record of a run to a store after `notify`, and beats each `beat` seconds."""

    def __init__(self, store: Store, run: Kept, beat: float) -> None:
        self._store = store
        self._run = run
        self._beat = beat
        self._news = False
        self._lost = False
        self._wait = 0.0
        self._stop = threading.Event()
        self._sending = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self, name: str) -> None:
        self._thread = threading.Thread(target=self._keep, name=f"keeper of {name}", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        """Say that the record has changed."""
        self._news = True

    def send(self) -> bool:
        """Send the record now.

        False, with a warning the first time, if the store does not answer.
        """
        with self._sending:
            self._news = False
            record = self._run.saved()
            begun = time.monotonic()
            try:
                self._store.mirror(merging.put(self._store, record))
            except StoreError as error:
                self._news = True
                self._wait = min(max(2 * self._wait, 1.0), PATIENCE)
                if not self._lost:
                    log.warning(
                        "%s. Run %s goes on and is written to %s; it is sent again, and at last by `ndg sync`",
                        *(error, record.id, record.journal),
                    )
                self._lost = True
                return False
            self._wait = SHARE * (time.monotonic() - begun)
            if self._lost:
                log.info("the run log %s answers again: run %s is written there", self._store.name, record.id)
            self._lost = False
            return True

    def finish(self) -> None:
        """End the thread, and send the last record."""
        self.stop()
        if not self.send():
            log.info("the end of the run is in its folder alone; `ndg sync` brings it to %s", self._store.name)
        self._store.close()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _keep(self) -> None:
        beaten = sent = time.monotonic()
        while not self._stop.wait(min(SYNC, self._beat)):
            with suppress(OutputError):  # a full disk: the next entry of the run raises it
                if time.monotonic() - beaten >= self._beat:
                    beaten = time.monotonic()
                    self._run.beat()
                if self._news and time.monotonic() - sent >= self._wait:
                    self.send()
                    sent = time.monotonic()
                else:
                    self._run.sync()
