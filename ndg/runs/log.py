"""The run log as a person asks it: find, get, compare, tag.

log = ndg.runs.open("mongodb://...")             # or a file: runs/ndg.db
log.frame(where={"config.data.name": "mnist"})   # pandas, dotted columns
log.get("last")                                  # a RunRecord: a dictionary
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ndg.errors import RunNotFoundError, StoreError, nearest
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


class Log:
    """The runs of one store. Reading it changes nothing; only `tag`, `untag`, `note` and `adopt` write."""

    def __init__(self, store: Store, local: Path | None = None) -> None:
        self.store = store
        self._local = local

    @property
    def uri(self) -> str:
        """Where the log is, a password as ***."""
        return self.store.name

    def find(
        self,
        where: Mapping[str, Any] | None = None,
        sort: Sort = NEWEST,
        limit: int | None = None,
        metrics: bool = True,
    ) -> list[RunRecord]:
        """Runs that answer `where`, newest first unless `sort` says otherwise; `ndg.runs.query` is the language.

        `sort` is `"-path"`, a list of such, or pairs of path and 1 or -1. `metrics=False` leaves out rows per epoch.
        """
        fields = None if metrics else {"metrics": 0}
        return [RunRecord(found) for found in self.store.find(where, sort, limit, fields)]

    def get(self, run: str = "last", kind: str | None = None) -> RunRecord:
        """The run of that id, or of a unique beginning or end of one; `last` is the newest (of `kind`, if given).

        Raises RunNotFoundError, naming the nearest ids.
        """
        of_kind = {"kind": kind} if kind else {}
        if run == "last":
            found = self.find(of_kind, limit=1)
            if not found:
                what = f"{kind} run" if kind else "run"
                raise RunNotFoundError(f"there is no {what} in {self.uri} yet{self._hint(lambda _: True)}")
            return found[0]
        if exact := self.find({"_id": run}, limit=1):
            if kind and exact[0]["kind"] != kind:
                raise RunNotFoundError(
                    f"{run} is a {exact[0]['kind']} run; name one of kind {kind} (`ndg runs` lists them)"
                )
            return exact[0]
        fits = [{"$gte": run, "$lt": f"{run}\uffff"}, {"$regex": f"{re.escape(run)}$"}] if run else []
        near = next((ids for ask in fits if (ids := self._ids({**of_kind, "_id": ask}))), [])
        if len(near) == 1:
            return self.get(near[0])
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
        """The completed train run of that training (and seed) with the highest `metric`, a dotted path; of equals, the
        newest.

        Where such runs saw different data, it is the best of those that `fits` is true of, if there is one. Raises
        RunNotFoundError, saying how to train one; `name` is the config that the message names.
        """
        mine: dict[str, Any] = {"kind": "train", "training_digest": training_digest}
        mine |= {} if seed is None else {"seeds.seed": seed}
        complete = {**mine, "status": COMPLETED, metric: {"$exists": True}}
        found = self.find(complete, [(metric, -1), ("started", -1)], metrics=False)
        if found and fits and len({run.figure("results.data.digest") for run in found}) > 1:
            found = list(filter(fits, found)) or found
        if found:
            return self.get(found[0].id)
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
        """One row per run, indexed by id, with a dotted column for every field of any run; times are UTC timestamps.

        The rows per epoch are not in it: `metrics(run)` has them.
        """
        import pandas as pd

        found = self.find(where, sort, limit, metrics=False)
        frame = pd.DataFrame([dict(show.flatten(record)) for record in found])
        if frame.empty:
            return pd.DataFrame(index=pd.Index([], name="id"))
        for column in ("started", "ended", "heartbeat"):
            frame[column] = pd.to_datetime(frame[column], utc=True, format="ISO8601")
        return frame.rename(columns={"_id": "id"}).set_index("id")

    def metrics(self, run: str = "last") -> pd.DataFrame:
        """The rows per epoch of a run, indexed by epoch where they have one."""
        import pandas as pd

        frame = pd.DataFrame(self.get(run)["metrics"])
        return frame.set_index("epoch") if "epoch" in frame else frame

    def tag(self, run: str, *tags: str) -> RunRecord:
        """The run, with the tags added."""
        found = self.get(run)
        for tag in tags:
            self.store.update(found.id, {"$addToSet": {"tags": tag}})
        return self._mirror(found.id)

    def untag(self, run: str, *tags: str) -> RunRecord:
        """The run, with the tags taken away."""
        found = self.get(run)
        for tag in tags:
            self.store.update(found.id, {"$pull": {"tags": tag}})
        return self._mirror(found.id)

    def note(self, run: str, text: str) -> RunRecord:
        """The run, with `text` as its notes."""
        found = self.get(run)
        self.store.update(found.id, {"$set": {"notes": text}})
        return self._mirror(found.id)

    def adopt(self, root: str | Path) -> list[str]:
        """Ids of the runs under `root` whose records were not in this store, or newer than in it; now they are.

        Brings over what was written locally while the store could not be reached.
        """
        known = {found["_id"]: found["heartbeat"] for found in self.store.find(fields={"heartbeat": 1})}
        taken = []
        for record in records.read_all(Path(root)):
            if record["heartbeat"] > known.get(record.id, ""):
                self.store.replace(record)
                taken.append(record.id)
        return taken

    def close(self) -> None:
        self.store.close()

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{self.uri}\n{show.table(self.find(limit=LIST, metrics=False))}"

    def _repr_html_(self) -> str:
        return show.html_table(self.find(limit=LIST, metrics=False))

    def _ids(self, where: Mapping[str, Any]) -> list[str]:
        return [found["_id"] for found in self.store.find(where, NEWEST, fields={"_id": 1})]

    def _mirror(self, id: str) -> RunRecord:
        """The run as the store has it, written to its folder too, unless its own process is there to do that."""
        found = self.get(id)
        if (found["status"] != records.RUNNING or found.dead()) and (found.folder / records.RECORD).is_file():
            records.write(found, found.folder)
        return found

    def _hint(self, fits: Callable[[RunRecord], bool]) -> str:
        """What to do about fitting runs that were written locally while the store could not be reached."""
        if self._local is None or self.store.path == (self._local / FILE).resolve():
            return ""
        local = [record.id for record in records.read_all(self._local) if fits(record)]
        known = (
            {found["_id"] for found in self.store.find({"_id": {"$in": local}}, fields={"_id": 1})} if local else set()
        )
        away = [id for id in local if id not in known]
        if not away:
            return ""
        return (
            f"; {self._local} holds {', '.join(away[:3])}{' and more' if len(away) > 3 else ''}: bring it over with "
            f"ndg.runs.open(...).adopt({str(self._local)!r})"
        )


def open(uri: str | Path = DEFAULT, local: str | Path | None = None) -> Log:
    """The run log at a `mongodb://` URI or in a file; nothing is connected or made before it is asked.

    With `local`, the folder of runs, a store that does not answer costs a warning and the log in that folder is opened.
    """
    store = connect(uri)
    if local is None:
        return Log(store)
    try:
        store.find(limit=1, fields={"_id": 1})
    except StoreError as error:
        spare = connect(Path(local) / FILE)
        if spare.path == store.path:
            raise
        messages.warning("%s. The runs in %s are read instead", error, spare.name)
        return Log(spare)
    return Log(store, Path(local))
