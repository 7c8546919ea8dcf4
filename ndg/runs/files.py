"""Files of runs on a MongoDB server, in GridFS, so that another machine can fetch them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ndg import atomic
from ndg.errors import OutputError, RunNotFoundError
from ndg.progress import log
from ndg.runs import edits, record
from ndg.runs.record import RunRecord
from ndg.runs.server import client_of

BUCKET = "files"


class Files:
    """The bucket `files` of a server's database."""

    def __init__(self, uri: str) -> None:
        import gridfs

        self._client = client_of(uri)
        self._bucket = gridfs.GridFS(self._client.get_default_database("ndg"), BUCKET)

    def upload(self, run: RunRecord) -> None:
        """Write the files in the folder of a run that has ended.

        Those that are there are not written again.
        """
        if not run["ended"]:
            return
        for artefact in run["artefacts"]:
            name, path = _name(run, artefact), run.folder / artefact["path"]
            if Path(artefact["path"]).is_absolute() or self._bucket.exists(filename=name, sha256=artefact["sha256"]):
                continue
            try:
                with path.open("rb") as file:
                    self._bucket.put(file, filename=name, sha256=artefact["sha256"])
            except OSError as error:
                log.warning("%s is not written to the server: %s", path, error.strerror or error)

    def fetch(self, run: RunRecord, root: Path) -> list[Path]:
        """Write the files and the record of a run to `root/<id>`, and return their paths.

        Raises RunNotFoundError if the server has no files of it, and OutputError if the folder exists.
        """
        folder = root / run.id
        if (folder / record.RECORD).exists() or (folder / record.EARLIER).exists():
            raise OutputError(f"run {run.id} is fetched into a new folder; {folder} has it already")
        wanted = [artefact for artefact in run["artefacts"] if not Path(artefact["path"]).is_absolute()]
        there = [artefact for artefact in wanted if self._bucket.exists(filename=_name(run, artefact))]
        if wanted and not there:
            raise RunNotFoundError(
                f"the server has no files of run {run.id}; they are on {run.get('host')} in {run['folder']}; runs of a "
                "config with store.upload: true write theirs to the server"
            )
        paths = []
        for artefact in there:
            content = self._bucket.get_last_version(_name(run, artefact)).read()
            if (computed := hashlib.sha256(content).hexdigest()) != artefact["sha256"]:
                raise OutputError(
                    f"{artefact['name']} of run {run.id} is damaged on the server: its SHA-256 is {computed}, and "
                    f"{artefact['sha256']} was logged; upload it again"
                )
            path = (folder / artefact["path"]).resolve()
            if not path.is_relative_to(folder.resolve()):
                raise OutputError(f"a file of a run lies in its folder; {artefact['path']!r} of run {run.id} does not")
            paths.append(atomic.write(path, content))
        folder.mkdir(parents=True, exist_ok=True)
        record.write({name: value for name, value in run.items() if name != "journal"}, folder)
        edits.append(folder, edits.of(run))
        return paths

    def close(self) -> None:
        self._client.close()


def _name(run: RunRecord, artefact: dict[str, Any]) -> str:
    return f"{run.id}/{artefact['path']}"
