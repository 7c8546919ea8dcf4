"""The run log for people: find, get, compare, tag.

log = ndg.runs.open("mongodb://...")             # or a file: runs/ndg.db
log.frame(where={"config.data.name": "mnist"})   # pandas, dotted columns
log.get("last")                                  # a RunRecord: a dictionary
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from ndg.errors import RunNotFoundError, nearest
from ndg.progress import log as messages
from ndg.runs import record as records
from ndg.runs import show
from ndg.runs.query import Sort
from ndg.runs.record import COMPLETED, RunRecord
from ndg.runs.store import DEFAULT, FILE, Store, connect

if TYPE_CHECKING:
    import pandas as pd

NEWEST = ("-started", "-_id")
LIST = 20  # runs that a notebook shows


class Log(AbstractContextManager["Log"]):
    """The runs of one store."""

    def __init__(self, store: Store, local: Path | None = None) -> None:
        self.store = store
        self._local = local

    @property
    def uri(self) -> str:
        """Address of the log, with *** for a password."""
        return self.store.name

    def find(
        self,
        where: Mapping[str, Any] | None = None,
        sort: Sort = NEWEST,
        limit: int | None = None,
        metrics: bool = True,
    ) -> list[RunRecord]:
        """Runs that match `where` (see `ndg.runs.query`), by default newest first.

        `sort` is `"-path"`, a list of such, or pairs of path and 1 or -1. `metrics=False` leaves out rows per epoch.
        Damaged documents are left out with a warning. The folder of a run is the one beside the log, or in the folder
        of runs, where a run of its id is there.
        """
        documents, whole = self.store.find(where, sort, limit, None if metrics else {"metrics": 0}), metrics
        if not metrics and any("checksum" in document for document in documents):
            documents, whole = self.store.find(where, sort, limit), True  # format 1: a checksum of metrics as well
        every = []
        for document in documents:
            if reason := records.damage(document, whole):
                messages.warning(
                    "a run in %s is left out, because it is damaged: %s; "
                    "ndg.runs.open(...).adopt(folder of runs) reads it again from its record.json",
                    self.uri,
                    reason,
                )
                continue
            if not metrics:
                document.pop("metrics", None)
            every.append(self._placed(RunRecord(document)))
        return every

    def _placed(self, record: RunRecord) -> RunRecord:
        """The record with its folder here, which may be a copy of that where it ran."""
        roots = [root for root in (self.store.path and self.store.path.parent, self._local) if root is not None]
        here = next((root / record.id for root in roots if os.path.isdir(root / record.id)), None)
        return record if here is None else records.placed(record, here.resolve())

    def get(self, run: str = "last", kind: str | None = None) -> RunRecord:
        """The run of an id, a part of one, or `last`; else RunNotFoundError."""
        of_kind = {"kind": kind} if kind else {}
        if run == "last":
            if newest := self.find(of_kind, limit=1) or self.find(of_kind):  # the newest may be damaged
                return newest[0]
            what = f"{kind} run" if kind else "run"
            raise RunNotFoundError(f"there is no {what} in {self.uri} yet{self._hint(lambda _: True)}")
        if exact := self.find({"_id": run}, limit=1):
            if kind and exact[0]["kind"] != kind:
                raise RunNotFoundError(
                    f"{run} is a {exact[0]['kind']} run; name one of kind {kind} (`ndg runs` lists them)"
                )
            return exact[0]
        fits = [{"$gte": run, "$lt": f"{run}\uffff"}, {"$regex": f"{re.escape(run)}$"}] if run else []
        near = next((ids for ask in fits if (ids := self._ids({**of_kind, "_id": ask}))), [])
        if near == [run]:
            raise RunNotFoundError(
                f"the record of {run} in {self.uri} is damaged; restore it from its folder or a copy"
            )
        if len(near) == 1:
            return self.get(near[0], kind)
        if near:
            more = f" and {len(near) - 5} more" if len(near) > 5 else ""
            raise RunNotFoundError(
                f"{run!r} must name one run; it fits {', '.join(near[:5])}{more}; type more of the id"
            )
        others = [ids for ask in fits if (ids := self._ids({"_id": ask}))] if kind else []
        if others:
            raise RunNotFoundError(f"{others[0][0]} is no {kind} run; name one of kind {kind} (`ndg runs` lists them)")
        hint = self._hint(lambda record: record.id.startswith(run) or record.id.endswith(run))
        raise RunNotFoundError(f"no run in {self.uri} is named {run!r}; {nearest(run, self._ids(of_kind))}{hint}")

    def best(
        self,
        training_digest: str,
        metric: str = show.VALIDATION,
        name: str | None = None,
        seed: int | None = None,
        fits: Callable[[RunRecord], bool] | None = None,
    ) -> RunRecord:
        """The completed train run with the highest `metric`.

        If these runs saw different data, those for which `fits` is true are preferred. Raises RunNotFoundError, which
        says how to train one; `name` is the config in the message.
        """
        mine: dict[str, Any] = {"kind": "train", "training_digest": training_digest}
        mine |= {} if seed is None else {"seeds.seed": seed}
        complete = {**mine, "status": COMPLETED, metric: {"$ne": None}}
        matches = self.find(complete, [(metric, -1), ("started", -1)], metrics=False)
        if matches and fits and len({run.figure("results.data.digest") for run in matches}) > 1:
            matches = list(filter(fits, matches)) or matches
        if matches:
            return self.get(matches[0].id)
        config = name or "CONFIG"
        hint = self._hint(lambda run: run["training_digest"] == training_digest and run["status"] == COMPLETED)
        others = self.find(mine, limit=1)
        seen = f"; {others[0].id} is {others[0].state()}, go on with --resume" if others else ""
        word = config.partition(" ")[0]
        apart = self.find({"kind": "train", "status": COMPLETED, "name": PurePath(word).stem}, limit=1)
        if apart and not others:
            seen = f"; {apart[0].id} was trained by other settings: repeat them, or align it by that id"
        raise RunNotFoundError(
            f"{self.uri} has no completed train run of {config} (training digest {training_digest}) with a "
            f"{metric}; train one: ndg train {config}{seen}{hint}"
        )

    def frame(
        self, where: Mapping[str, Any] | None = None, sort: Sort = NEWEST, limit: int | None = None
    ) -> pd.DataFrame:
        """A row per run, with a dotted column per field; epochs are in `metrics`."""
        import pandas as pd

        matches = self.find(where, sort, limit, metrics=False)
        frame = pd.DataFrame([dict(show.flatten(record)) for record in matches])
        if frame.empty:
            return pd.DataFrame(index=pd.Index([], name="id"))
        for column in ("started", "ended", "heartbeat"):
            frame[column] = pd.to_datetime(frame[column], utc=True, format="ISO8601")
        return frame.rename(columns={"_id": "id"}).set_index("id")

    def metrics(self, run: str = "last") -> pd.DataFrame:
        """Rows per epoch of a run."""
        import pandas as pd

        frame = pd.DataFrame(self.get(run)["metrics"])
        return frame.set_index("epoch") if "epoch" in frame else frame

    def tag(self, run: str, *tags: str) -> RunRecord:
        """Add tags to a run."""
        return self._change(run, lambda old: {"tags": list(dict.fromkeys([*old.get("tags", []), *tags]))})

    def untag(self, run: str, *tags: str) -> RunRecord:
        """Remove tags from a run."""
        return self._change(run, lambda old: {"tags": [tag for tag in old.get("tags", []) if tag not in tags]})

    def note(self, run: str, text: str) -> RunRecord:
        """Set the notes of a run."""
        return self._change(run, lambda old: {"notes": text})

    def adopt(self, root: str | Path) -> list[str]:
        """Copy newer runs under `root` into this store; return their ids."""
        known = {record.id: record["heartbeat"] for record in self.find(sort=None)}
        taken = []
        for record in records.read_all(Path(root)):
            if record["heartbeat"] > known.get(record.id, ""):
                self.store.replace(record)
                taken.append(record.id)
        return taken

    def close(self) -> None:
        self.store.close()

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{self.uri}\n{show.table(self.find(limit=LIST, metrics=False))}"

    def _repr_html_(self) -> str:
        return show.html_table(self.find(limit=LIST, metrics=False))

    def _ids(self, where: Mapping[str, Any]) -> list[str]:
        return [document["_id"] for document in self.store.find(where, NEWEST, fields={"_id": 1})]

    def _change(self, run: str, edits: Callable[[RunRecord], dict[str, Any]]) -> RunRecord:
        """A run, changed in the store and, if it has ended, in its folder.

        An edit that another process makes meanwhile changes the checksum, and then this one is made again.
        """
        id, done = self.get(run).id, False
        while not done:
            record = self.get(id)
            changed = records.signed(record | edits(record))
            fields = {name: changed[name] for name in (*records.EDITS, "checksum_edits")}
            done = self.store.update(id, {"$set": fields}, {"checksum_edits": record.get("checksum_edits")})
        record = self.get(id)
        if (record["status"] != records.RUNNING or record.dead()) and (record.folder / records.RECORD).is_file():
            records.write(record, record.folder)
        return record

    def _hint(self, fits: Callable[[RunRecord], bool]) -> str:
        """Advice about matching runs that the store does not have."""
        if self._local is None or self.store.path == (self._local / FILE).resolve():
            return ""
        local = [record.id for record in records.read_all(self._local) if fits(record)]
        known = self._ids({"_id": {"$in": local}}) if local else []
        away = [id for id in local if id not in known]
        if not away:
            return ""
        return (
            f"; {self._local} holds {', '.join(away[:3])}{' and more' if len(away) > 3 else ''}: bring it over with "
            f"ndg.runs.open(...).adopt({str(self._local)!r})"
        )


def open(uri: str | Path = DEFAULT, local: str | Path | None = None) -> Log:
    """Open the run log at a `mongodb://` URI or in a file.

    A log that does not answer is an error of its first use; no other log answers in its place. With `local`, the folder
    of runs, messages about missing runs name those that are there.
    """
    return Log(connect(uri), None if local is None else Path(local))
