"""The routes of the page: lists, single runs, comparisons, metrics, files, and edits with `write`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ndg.errors import NDGError, RunNotFoundError
from ndg.runs import conditions, frames
from ndg.runs.log import NEWEST, Log
from ndg.runs.plain import DOT
from ndg.runs.record import RunRecord
from ndg.runs.show import differences, flatten

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request

PAGE: Final = Path(__file__).parent / "page"
COLUMNS: Final = ("kind", "name", "status", "started", "tags", *frames.COLUMNS[-5:])
LIMIT: Final = 500
"""Runs of a table."""
EDITS: Final = ("tag", "untag", "note")
SHOWN: Final = (".html", ".pdf", ".svg", ".png")
"""Endings of files that open in the browser; their pages may run scripts, but cannot read this server."""
SANDBOX: Final = "sandbox allow-scripts allow-downloads; default-src 'unsafe-inline' data: blob:"


def make_app(log: Log, write: bool) -> Starlette:
    """The application over a log; `write` allows tags and notes."""
    from starlette.applications import Starlette
    from starlette.responses import FileResponse, JSONResponse
    from starlette.routing import Route

    def answer(work: Callable[[Request], Any]) -> Callable[[Request], JSONResponse]:
        def respond(request: Request) -> JSONResponse:
            try:
                return JSONResponse(_finite(work(request)))
            except NDGError as error:
                return JSONResponse({"error": str(error)}, 404 if isinstance(error, RunNotFoundError) else 400)

        return respond

    def listed(request: Request) -> Any:
        asked = request.query_params
        columns = asked.get("columns", "").split() or list(COLUMNS)
        query = conditions.query(None, conditions.words(asked.get("where", "")))
        ids, values = log.table(query, asked.get("sort") or NEWEST, LIMIT, columns)
        return {"write": write, "ids": ids, "columns": list(values), "values": list(values.values())}

    def one(request: Request) -> Any:
        record = log.get(request.path_params["id"])
        pages = [page for page in _files(record) if page.endswith(SHOWN)]
        return {
            **{name: record.get(name) for name in ("_id", "tags", "notes", "folder", "started", "ended", "error")},
            "state": record.state(),
            "pages": pages,
            "results": list(flatten(record["results"])),
            "config": list(flatten(record["config"])),
        }

    def compared(request: Request) -> Any:
        records = [log.get(id) for id in request.query_params.getlist("run")]
        return [[path, *values] for section in ("config", "results") for path, *values in differences(records, section)]

    def metrics(request: Request) -> Any:
        rows = {id: log.get(id)["metrics"] for id in request.query_params.getlist("run")}
        return {id: [{name.replace(DOT, "."): row[name] for name in row} for row in rows[id]] for id in rows}

    def edited(id: str, kind: str, text: str) -> Any:
        record = getattr(log, kind)(id, text)
        return {"tags": record["tags"], "notes": record["notes"]}

    async def edit(request: Request) -> JSONResponse:
        from starlette.concurrency import run_in_threadpool

        kind = request.path_params["kind"]
        if not write or kind not in EDITS:
            return JSONResponse({"error": "tags and notes are changed with `ndg ui --write`"}, 403)
        text = (await request.body()).decode("utf-8", "replace")[:10_000]
        id = request.path_params["id"]
        return await run_in_threadpool(answer(lambda _: edited(id, kind, text)), request)

    def file(request: Request) -> Any:
        try:
            record = log.get(request.path_params["id"])
        except NDGError as error:
            return JSONResponse({"error": str(error)}, 404)
        name = request.path_params["name"]
        if name not in _files(record) or not name.endswith(SHOWN):
            return JSONResponse({"error": f"run {record.id} has no page {name!r}"}, 404)
        policy = {} if name.endswith(".pdf") else {"content-security-policy": SANDBOX}
        return FileResponse(record.folder / name, headers=policy)

    def own(request: Request) -> Any:
        name = request.path_params.get("name") or "index.html"
        pages = {path.name for path in PAGE.iterdir()}
        return FileResponse(PAGE / name) if name in pages else JSONResponse({"error": "no such page"}, 404)

    return Starlette(
        routes=[
            Route("/api/runs", answer(listed)),
            Route("/api/run/{id}", answer(one)),
            Route("/api/compare", answer(compared)),
            Route("/api/metrics", answer(metrics)),
            Route("/api/run/{id}/{kind}", edit, methods=["POST"]),
            Route("/file/{id}/{name}", file),
            Route("/{name}", own),
            Route("/", own),
        ]
    )


def _files(record: RunRecord) -> list[str]:
    """Names of the files directly in the folder of a run."""
    try:
        return sorted(path.name for path in record.folder.iterdir() if path.is_file() and not path.is_symlink())
    except OSError:
        return []


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
