"""Runs as sacred's MongoObserver writes them, for Omniboard and other dashboards made for sacred.

Collections `runs` and `metrics`, and files in GridFS (`fs`); `docs/mongodb.md` has the fields. Writing a run again
changes its documents in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ndg.runs.plain import DOT
from ndg.runs.record import FAILED, RunRecord
from ndg.runs.server import client_of

FORMAT: Final = "MongoObserver-0.7.0"
STEPS: Final = 20_000
"""Most values of a metric, which take 0.9 MB; of more every n-th is written, as sacred has one document per metric."""
RESULTS: Final = ("results.trial.q.test.aligned", "results.train.test_accuracy", "results.accuracy.test.rate")
"""The scalar result of a run is the first of these that it has."""


class Sacred:
    """A database in sacred's layout."""

    def __init__(self, uri: str, database: str = "sacred") -> None:
        import gridfs

        self._client = client_of(uri)
        self._database = self._client.get_default_database(database)
        self._files = gridfs.GridFS(self._database)

    def put(self, record: RunRecord) -> int:
        """Write a run with its metrics, and with its files once it has ended.

        Return its number.
        """
        from pymongo.errors import DuplicateKeyError

        runs = self._database["runs"]
        while True:
            old = runs.find_one({"ndg.run": record.id})
            newest = runs.find_one({}, {"_id": 1}, sort=[("_id", -1)])
            number = int(old["_id"] if old else newest["_id"] + 1 if newest else 1)
            if old is None:  # takes the number first, which another process may want too
                try:
                    runs.insert_one(document(record, number))
                except DuplicateKeyError:
                    continue
            names = []
            for metric in metrics(record, number):
                key = {"run_id": number, "name": metric["name"]}
                self._database["metrics"].replace_one(key, metric, upsert=True)
                written = self._database["metrics"].find_one(key, {"_id": 1}) or {}
                names.append({"id": str(written.get("_id")), "name": metric["name"]})
            whole = document(record, number)
            whole["info"]["metrics"] = names
            whole["artifacts"] = self._artefacts(record, number, old) if record["ended"] else []
            runs.replace_one({"_id": number}, whole)
            return number

    def close(self) -> None:
        self._client.close()

    def _artefacts(self, record: RunRecord, number: int, old: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Entries of the run's files that are here.

        Those that were written before are not written again.
        """
        known = {(entry["name"], entry.get("sha256")): entry for entry in (old or {}).get("artifacts", [])}
        entries = []
        for artefact in record["artefacts"]:
            name, digest = artefact["name"], artefact["sha256"]
            if (name, digest) in known:
                entries.append(known[name, digest])
                continue
            with suppress(OSError), (Path(record["folder"]) / artefact["path"]).open("rb") as file:
                id = self._files.put(file, filename=f"artifact://runs/{number}/{name}", sha256=digest)
                entries.append({"name": name, "file_id": id, "sha256": digest})
        return entries


def document(record: RunRecord, number: int) -> dict[str, Any]:
    """The run document, without metrics and files."""
    versions = record["versions"]
    packages = [f"{name}=={version}" for name, version in versions.items() if version and name != "python"]
    commit = record.get("commit")
    options = {"kind": record["kind"], "parent": record.get("parent"), "device": record.get("device")}
    return {
        "_id": number,
        "ndg": {"run": record.id, "revision": record.get("revision", 0), "folder": record["folder"]},
        "format": FORMAT,
        "experiment": {
            "name": record["name"],
            "base_dir": record["folder"],
            "mainfile": None,
            "sources": [],
            "dependencies": packages,
            "repositories": [{"url": "", "commit": commit, "dirty": bool(record.get("dirty"))}] if commit else [],
        },
        "command": record["kind"],
        "host": {
            "hostname": str(record.get("host")),
            "python_version": str(versions.get("python")),
            "os": ["Linux", ""],
            "cpu": "",
            "ENV": {},
        },
        "start_time": moment(record["started"]),
        "heartbeat": moment(record["heartbeat"]),
        "stop_time": moment(record["ended"]) if record["ended"] else None,
        "config": record["config"],
        "meta": {"command": record["kind"], "options": options, "named_configs": [], "config_updates": {}},
        "status": record["status"],
        "resources": [],
        "artifacts": [],
        "captured_out": f"{record.get('command') or ''}\n",
        "info": {"metrics": [], "results": record["results"]},
        "result": next((value for path in RESULTS if _is_number(value := record.figure(path))), None),
        **({"fail_trace": [str(record.get("error"))]} if record["status"] == FAILED else {}),
        "omniboard": {"tags": list(record.get("tags", [])), "notes": record.get("notes", "")},
    }


def metrics(record: RunRecord, number: int) -> Iterator[dict[str, Any]]:
    """A document for each metric that has numbers.

    Steps are epochs, or else numbers of rows.
    """
    rows = record["metrics"]
    times = record.get("times") or [record["started"]] * len(rows)
    epochs = [row.get("epoch") for row in rows]
    steps = epochs if all(isinstance(epoch, int) for epoch in epochs) else list(range(len(rows)))
    for name in dict.fromkeys(name for row in rows for name in row):
        numbered = [i for i, row in enumerate(rows) if _is_number(row.get(name))]
        if name == "epoch" or not numbered:
            continue
        numbered = numbered[:: 1 + (len(numbered) - 1) // STEPS]
        yield {
            "run_id": number,
            "name": name.replace(DOT, "."),
            "steps": [steps[i] for i in numbered],
            "values": [rows[i][name] for i in numbered],
            "timestamps": [moment(times[i]) for i in numbered],
        }


def moment(text: str) -> datetime:
    """A time of a record as a BSON date."""
    return datetime.fromisoformat(text)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
