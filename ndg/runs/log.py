"""The run log for people: find, get, compare, tag.

log = ndg.runs.open("mongodb://...")             # or a file: runs/ndg.db
log.frame(where={"config.data.name": "mnist"})   # pandas, dotted columns
log.get("last")                                  # a RunRecord: a dictionary
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from ndg.errors import OutputError, RunNotFoundError, nearest
from ndg.progress import log as messages
from ndg.runs import edits, merging, show
from ndg.runs import record as records
from ndg.runs.plain import DOT
from ndg.runs.query import Sort, ids_with
from ndg.runs.record import COMPLETED, RunRecord
from ndg.runs.selection import Selection
from ndg.runs.store import DEFAULT, FILE, Store, connect

if TYPE_CHECKING:
    import pandas as pd

NEWEST = ("-started", "-_id")
LIST = 20  # runs that a notebook and a table show


class Log(AbstractContextManager["Log"]):
    """The runs of one store."""

    def __init__(self, store: Store, local: Path | None = None) -> None:
        self.store = store
        self._local = local
        self._behind: set[str] = set()  # runs that messages have named

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
        fields = None if metrics else {"metrics": 0, "times": 0}
        documents, newer = self._documents(where, sort, limit, fields)
        whole = metrics
        if not metrics and any("checksum" in document for document in documents):
            (documents, newer), whole = self._documents(where, sort, limit), True  # format 1: a checksum of all
        every = []
        for document in documents:
            if document["_id"] not in newer and (reason := records.damage(document, whole)):
                self._left_out(reason)
                continue
            if not metrics:
                document = {name: value for name, value in document.items() if name not in ("metrics", "times")}
            every.append(self._placed(RunRecord(document)))
        return every

    def _documents(
        self,
        where: Mapping[str, Any] | None,
        sort: Sort,
        limit: int | None,
        fields: Mapping[str, int] | None = None,
        checked: bool = False,
    ) -> tuple[list[dict[str, Any]], Collection[str]]:
        """Documents of the store, or newer ones of folders here; and ids of the latter."""
        newer = self._newer(where)
        most = limit and limit + len(newer)
        if not newer:
            return self.store.find(where, sort, most, fields, checked), ()
        documents = self.store.find(where, sort, most, {} if checked else fields, checked)
        newer |= {run["_id"]: merging.join(newer[run["_id"]], run) for run in documents if run["_id"] in newer}
        current = [document for document in documents if document["_id"] not in newer]
        current += Selection(where).among(newer.values())
        return Selection(None, sort, limit).among(current), newer

    def _left_out(self, reason: str) -> None:
        messages.warning(
            "a run in %s is left out, because it is damaged: %s; "
            "ndg.runs.open(...).adopt(folder of runs) reads it again from its journal",
            self.uri,
            reason,
        )

    def _newer(self, where: Mapping[str, Any] | None) -> dict[str, RunRecord]:
        """Records in folders here that are newer than those in the store, or that it lacks.

        Of runs that the store knows these are the ones with a longer journal; of others those of the folder beside an
        embedded file, and those whose journal says that they are logged here.
        """
        here = {name: folder for root in self._roots() for name, folder in _folders(root).items()}
        fields = {"status": 1, "journal": 1, "folder": 1}
        id = Selection(where).id
        some = {"_id": id} if id else {} if here else {"status": records.RUNNING}
        known = {document["_id"]: document for document in self.store.find(some, fields=fields)}
        newer = {}
        for name, document in known.items():
            folder = here.get(name) or str(document.get("folder"))
            if _length(folder) > int(document.get("journal") or 0) and (record := records.read(Path(folder))):
                newer[name] = record
        for name, folder in here.items():
            if name in known or (id and name != id) or not _length(folder):
                continue
            record = records.read(Path(folder))
            beside = self.store.path == (Path(folder).parent / FILE).resolve()
            if record and (beside or record.get("log") == self.uri):
                newer[name] = record
        ended = {name for name, record in newer.items() if record["status"] != records.RUNNING or record.dead()}
        if behind := sorted(ended - self._behind):
            messages.info("%s is behind the folders of %d runs (%s): ndg sync", self.uri, len(behind), behind[0])
        self._behind |= ended
        return newer

    def _roots(self) -> list[Path]:
        roots = [root for root in (self.store.path and self.store.path.parent, self._local) if root is not None]
        return [root for root in roots if os.path.isdir(root)]

    def _placed(self, record: RunRecord) -> RunRecord:
        """The record with its folder here, which may be a copy of that where it ran."""
        here = next((root / record.id for root in self._roots() if os.path.isdir(root / record.id)), None)
        return record if here is None else records.placed(record, here.resolve())

    def get(self, run: str = "last", kind: str | None = None) -> RunRecord:
        """The run of an id, a part of one, its folder, `last`, or `last:KIND`.

        Else RunNotFoundError.
        """
        if os.sep in run and os.path.isdir(run):
            return self._of_folder(Path(run), kind)
        if run.startswith("last:"):
            run, kind = "last", run.removeprefix("last:")
        of_kind = {"kind": kind} if kind else {}
        if run == "last":
            if newest := self.find(of_kind, limit=1) or self.find(of_kind):  # the newest may be damaged
                return newest[0]
            what = f"{kind} run" if kind else "run"
            raise RunNotFoundError(f"there is no {what} in {self.uri} yet{self._hint(lambda _: True)}")
        if exact := self.find({"_id": run}, limit=1):
            return _of_kind(exact[0], kind)
        fits = ids_with(run)
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
        hint = self._hint(lambda record: run in record.id)
        raise RunNotFoundError(f"no run in {self.uri} is named {run!r}; {nearest(run, self._ids(of_kind))}{hint}")

    def _of_folder(self, folder: Path, kind: str | None) -> RunRecord:
        """The run in a folder, with what the log knows of it."""
        if (record := records.read(folder)) is None:
            raise RunNotFoundError(
                f"the folder of a run holds its {records.RECORD}; {folder} has none that can be read; name the folder "
                "of one run, or list those of all in it by --runs"
            )
        known = self.find({"_id": record.id}, limit=1)
        whole = merging.join(record, known[0]) if known else record
        return _of_kind(records.placed(whole, folder.resolve()), kind)

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
        self,
        where: Mapping[str, Any] | None = None,
        sort: Sort = NEWEST,
        limit: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """A row per run, with a column per dotted path.

        By default columns are `ndg.runs.frames.COLUMNS`; a path to a dictionary gives a column for each value in it
        (`["config", "results"]`: all of them).
        """
        from ndg.runs import frames

        return frames.frame(*self.table(where, sort, limit, frames.COLUMNS if columns is None else columns))

    def table(
        self, where: Mapping[str, Any] | None, sort: Sort, limit: int | None, columns: Sequence[str]
    ) -> tuple[list[str], dict[str, list[Any]]]:
        """Ids of runs, and their values by dotted path.

        `frame` without pandas.
        """
        from ndg.runs import frames

        here = {name: folder for root in reversed(self._roots()) for name, folder in _folders(root).items()}
        documents, _ = self._documents(where, sort, limit, dict.fromkeys(frames.stored(columns, sort), 1), True)
        sound = []
        for document in documents:
            if "damage" in document:
                self._left_out(document["damage"])
                continue
            if document["_id"] in here:
                document["folder"] = os.path.realpath(here[document["_id"]])
            sound.append(document)
        return [document["_id"] for document in sound], frames.values(sound, columns)

    def metrics(self, run: str = "last") -> pd.DataFrame:
        """Rows per epoch of a run."""
        import pandas as pd

        frame = pd.DataFrame(self.get(run)["metrics"]).rename(columns=lambda name: name.replace(DOT, "."))
        return frame.set_index("epoch") if "epoch" in frame else frame

    def tag(self, run: str, *tags: str) -> RunRecord:
        """Add tags to a run."""
        return self._change(run, [("tag", tag) for tag in tags])

    def untag(self, run: str, *tags: str) -> RunRecord:
        """Remove tags from a run."""
        return self._change(run, [("untag", tag) for tag in tags])

    def note(self, run: str, text: str) -> RunRecord:
        """Set the notes of a run."""
        return self._change(run, [("note", text)])

    def adopt(self, root: str | Path) -> list[str]:
        """Bring runs under `root` into this store where it lacks them or is behind.

        Return their ids.

        An older version never replaces a newer one; tags and notes of both stay.
        """
        taken = []
        for record in records.read_all(Path(root)):
            known = self.store.find({"_id": record.id})
            if not known or records.damage(known[0]) or merging.join(record, known[0]) != known[0]:
                merging.put(self.store, record)
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
        """Ids of runs that match, newest first."""
        newer = self._newer(where)
        known = self.store.find(where, NEWEST, fields={"_id": 1, "started": 1})
        more = Selection(where).among(newer.values())
        every = [document for document in known if document["_id"] not in newer] + more
        return [document["_id"] for document in Selection(None, NEWEST).among(every)]

    def _change(self, run: str, changes: Sequence[tuple[str, str]]) -> RunRecord:
        """A run with further edits, in the store and in its folder if that is here."""
        record = self.get(run)
        every = edits.of(record)
        for kind, text in changes:
            every = [*every, edits.new(every, kind, text)]
        edits.check_size(every)
        if any((record.folder / name).is_file() for name in (records.RECORD, records.EARLIER)):
            try:
                edits.append(record.folder, every[len(edits.of(record)) :])
            except OutputError as error:  # a folder of somebody else
                messages.info("%s", error)
        return self._placed(merging.put(self.store, {**record, **edits.fields(every)}))

    def _hint(self, fits: Callable[[RunRecord], bool]) -> str:
        """Advice about matching runs that the store does not have."""
        if self._local is None or self.store.path == (self._local / FILE).resolve():
            return ""
        local = [record.id for record in records.read_all(self._local) if fits(record)]
        known = [run["_id"] for run in self.store.find({"_id": {"$in": local}}, fields={"_id": 1})] if local else []
        away = [id for id in local if id not in known]
        if not away:
            return ""
        return (
            f"; {self._local} holds {', '.join(away[:3])}{' and more' if len(away) > 3 else ''}: bring it over with "
            f"ndg.runs.open(...).adopt({str(self._local)!r})"
        )


def _of_kind(record: RunRecord, kind: str | None) -> RunRecord:
    """The record. Raises RunNotFoundError for one of another kind."""
    if kind and record["kind"] != kind:
        raise RunNotFoundError(
            f"{record.id} is a {record['kind']} run; name one of kind {kind} (`ndg runs` lists them)"
        )
    return record


def _folders(root: Path) -> dict[str, str]:
    """Folders under a root that may be those of runs, by name."""
    try:
        with os.scandir(root) as entries:
            return {entry.name: entry.path for entry in entries if entry.is_dir()}
    except OSError:
        return {}


def _length(folder: str) -> int:
    try:
        return os.stat(f"{folder}/{records.RECORD}").st_size
    except (OSError, ValueError):
        return 0


def open(uri: str | Path = DEFAULT, local: str | Path | None = None) -> Log:
    """Open the run log at a `mongodb://` URI or in a file.

    A log that does not answer is an error of its first use; no other log answers in its place. With `local`, the folder
    of runs, messages about missing runs name those that are there.
    """
    return Log(connect(uri), None if local is None else Path(local))
