"""Start a run, or resume an unfinished one."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ndg.config import Experiment
from ndg.errors import OutputError, RunNotFoundError, check_list
from ndg.locations import Locations
from ndg.paths import path_of
from ndg.runs import edits, journal, long_values
from ndg.runs.plain import now, plain
from ndg.runs.provenance import masked, versions, whereabouts
from ndg.runs.record import BEAT, COMPLETED, FAILED, FORMAT, INTERRUPTED, RUNNING, RunRecord, read_all, span
from ndg.runs.run import Run
from ndg.runs.store import FILE, Store, connect

ATTEMPT = ("started", "host", "pid", "boot", "born", "device", "commit", "dirty", "command")


def start(
    store: Store | str | Path | None,
    kind: str,
    experiment: Experiment,
    folder_root: str | Path,
    parent: str | None = None,
    *,
    device: str | None = None,
    tags: Iterable[str] = (),
    beat: float = BEAT,
) -> Run:
    """A new run, as a context, in the folder `folder_root/<id>`.

    Its document is in `store`, by default `folder_root/ndg.db`. Entering raises OutputError if no folder can be made.
    """
    check_list(tags, "tags")
    root = path_of(folder_root, "the folder of runs").absolute()

    def begin(run: Run) -> None:
        while True:
            slug = re.sub(r"[^\w.+-]+", "_", experiment.name, flags=re.ASCII).strip("._-")[:60] or "run"
            id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{slug}-{kind}-{secrets.token_hex(2)}"  # sorts by time
            if (folder := _make(root, id)) is None:
                continue
            document = _document(folder, kind, experiment, parent, device, tags)
            try:
                if run.open(document):
                    return
            except BaseException:
                if not run.record:
                    _remove(folder)
                raise
            _remove(folder)  # another root holds a run of this name in the same store

    return Run(_store(store, root), root, begin, beat)


def resume(
    store: Store | str | Path | None,
    experiment: Experiment,
    folder_root: str | Path,
    *,
    kind: str = "train",
    parent: str | None = None,
    device: str | None = None,
    beat: float = BEAT,
) -> Run:
    """The unfinished run of an experiment, reopened as a context.

    A train run matches by training and seed, and the one with most epochs is chosen; other runs match by config and
    `parent`, and the newest is chosen. Metrics continue. Results and artefacts of the interrupted attempt move into its
    entry of `attempts`; its files stay. Raises RunNotFoundError if there is none, or if the run is still alive.
    """
    root = path_of(folder_root, "the folder of runs").absolute()
    unfinished_run = unfinished(root, experiment, kind=kind, parent=parent)

    def begin(run: Run) -> None:
        run.reopen(unfinished_run, _reopened(unfinished_run, root, device))

    return Run(_store(store, root), root, begin, beat)


def start_or_resume(
    resumed: bool, where: Locations, kind: str, experiment: Experiment, parent: str | None = None, *, device: str | None
) -> Run:
    """A new run, or with `resumed` the unfinished one."""
    if resumed:
        return resume(where.store, experiment, where.runs, kind=kind, parent=parent, device=device)
    return start(where.store, kind, experiment, where.runs, parent, device=device)


def unfinished(root: Path, experiment: Experiment, *, kind: str = "train", parent: str | None = None) -> RunRecord:
    """The record that `resume` reopens. Raises RunNotFoundError."""
    what = f"{kind} run of {experiment.name!r} ({_same(experiment, kind, parent)[1]}) in {root}"
    mine = begun(root, experiment, kind=kind, parent=parent)
    if not mine:
        others = {"kind": kind, "name": experiment.name} | ({} if kind == "train" else {"parent": parent})
        near = [record for record in read_all(root) if _has(record, others) and _cut(record)]
        last = max(near, key=lambda record: record["started"], default=None)
        hint = f"; {last.id} is unfinished, and was begun with other settings: give those" if last else ""
        raise RunNotFoundError(f"there is no {what}{hint}; start one without --resume")
    ended = max((record["started"] for record in mine if record["status"] == COMPLETED), default="")
    cut = [record for record in mine if record["started"] > ended and _cut(record)]
    if cut:
        return max(cut, key=lambda record: (len(record["metrics"]) * (kind == "train"), record["started"]))
    alive = [record for record in mine if record["status"] == RUNNING]
    if alive and alive[-1]["started"] > ended:
        raise RunNotFoundError(
            f"a run that is still alive cannot be resumed; {alive[-1].id} (process {alive[-1].get('pid')} on "
            f"{alive[-1].get('host')}) gave a sign {span(alive[-1].silence())} ago; wait for it, or start another "
            "without --resume"
        )
    finished = next(record for record in mine if record["started"] == ended)
    raise RunNotFoundError(f"there is no unfinished {what}; {finished.id} is complete; start another without --resume")


def finished(root: Path, experiment: Experiment, *, kind: str = "train", parent: str | None = None) -> RunRecord | None:
    """The newest complete run, unless a newer one was interrupted."""
    mine = [record for record in begun(root, experiment, kind=kind, parent=parent) if _ended(record)]
    newest = max(mine, key=lambda record: record["started"], default=None)
    return newest if newest is not None and newest["status"] == COMPLETED else None


def begun(root: Path, experiment: Experiment, *, kind: str = "train", parent: str | None = None) -> list[RunRecord]:
    """Records of all runs that `resume` would consider, finished or not."""
    wanted = {"kind": kind, **_same(experiment, kind, parent)[0]}
    return [record for record in read_all(root) if _has(record, wanted)]


def _has(record: RunRecord, figures: dict[str, Any]) -> bool:
    return all(record.figure(path) == value for path, value in figures.items())


def _ended(record: RunRecord) -> bool:
    return record["status"] == COMPLETED or _cut(record)


def _cut(record: RunRecord) -> bool:
    return record["status"] in (FAILED, INTERRUPTED) or record.dead()


def _same(experiment: Experiment, kind: str, parent: str | None) -> tuple[dict[str, Any], str]:
    """Fields that identify one training or study, also in words."""
    if kind == "train":
        digest, seed = experiment.training_digest, experiment.seed
        return {"training_digest": digest, "seeds.seed": seed}, f"training digest {digest}, seed {seed}"
    about = "a network that no run has trained" if parent is None else f"run {parent}"
    return {"digest": experiment.digest, "parent": parent}, f"config digest {experiment.digest}, about {about}"


def _document(
    folder: Path, kind: str, experiment: Experiment, parent: str | None, device: str | None, tags: Iterable[str]
) -> RunRecord:
    started, where = now(), whereabouts(device)
    config, lost = plain(experiment.to_dict(), "config")
    fields: dict[str, Any] = {
        "_id": folder.name,
        "format": FORMAT,
        "revision": 1,
        "kind": kind,
        "name": experiment.name,
        "parent": parent,
        "status": RUNNING,
        "error": None,
        "started": started,
        "ended": None,
        "heartbeat": started,
        "config": masked(config),
        "digest": experiment.digest,
        "training_digest": experiment.training_digest,
        "seeds": {"seed": experiment.seed, "data": experiment.data.seed, "trial": experiment.trial.seed},
        "versions": versions(),
        **where,
        "folder": str(folder.resolve()),
        "attempts": [{"started": started} | {key: where[key] for key in ATTEMPT if key in where}],
        "metrics": [],
        "times": [],
        "results": {},
        "artefacts": [],
        "nonfinite": lost,
        **edits.fields(edits.of({"tags": [str(tag) for tag in tags]})),
    }
    return RunRecord(fields)


def _reopened(old: RunRecord, root: Path, device: str | None) -> RunRecord:
    """The document of a resumed run, with a new attempt."""
    started, where = now(), whereabouts(device)
    attempts = [dict(attempt) for attempt in old["attempts"]]
    cut = {"status": old["status"], "ended": old["ended"] or old["heartbeat"], "epochs": len(old["metrics"])}
    attempts[-1] = {**cut, **attempts[-1]}
    results, files = long_values.parted(old["results"], f"results.attempt_{len(attempts)}", long_values.STEPS[1])
    long_values.write(files, root / old.id)
    kept = [entry for entry in old["artefacts"] if long_values.NAME.fullmatch(entry["path"])]
    attempts[-1] |= {name: value for name, value in (("results", results), ("artefacts", old["artefacts"])) if value}
    attempts.append({"started": started} | {key: where[key] for key in ATTEMPT if key in where})
    return RunRecord(
        {
            **old,
            **where,
            "revision": old.get("revision", 0) + 1,
            "status": RUNNING,
            "error": None,
            "ended": None,
            "heartbeat": started,
            "versions": versions(),
            "folder": str((root / old.id).resolve()),
            "attempts": attempts,
            "results": {},
            "artefacts": long_values.artefacts(files, kept),
            "nonfinite": [path for path in old["nonfinite"] if not path.startswith("results.")],
        }
    )


def _make(root: Path, id: str) -> Path | None:
    """Make the folder of a run; None if it exists."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        (root / id).mkdir()
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.isdir(root):
            return None
        raise OutputError(
            f"each run makes a folder of its own in {root}, and none can be made there: {error.strerror or error}; "
            "make it writable, or choose another place for runs"
        ) from error
    return root / id


def _remove(folder: Path) -> None:
    with suppress(OSError):
        (folder / journal.FILE).unlink(missing_ok=True)
        folder.rmdir()


def _store(store: Store | str | Path | None, root: Path) -> Store:
    return store if isinstance(store, Store) else connect(root / FILE if store is None else store)
