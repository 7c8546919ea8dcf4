"""Pictures of a causal graph for the folder and the page of its run."""

from __future__ import annotations

from ndg import atomic
from ndg.errors import RenderError
from ndg.graph.ndg import NDG
from ndg.progress import log
from ndg.report.html import Picture
from ndg.report.render import MOST, REPORTS, Look
from ndg.runs.run import Run
from ndg.workflows.pictures import NAME
from ndg.workflows.prepare import Prepared


def pictures(graph: NDG, title: str, prepared: Prepared, run: Run) -> list[Picture]:
    """The picture of a causal graph, also written as PDF and SVG.

    None if it cannot be drawn in time.
    """
    limits = prepared.experiment.report
    look = Look(None, None, min(limits.max_nodes, MOST), title=title, timeout=limits.timeout)
    try:
        for kind in ("pdf", "svg"):
            run.artefact(atomic.write(run.folder / f"{NAME}.{kind}", REPORTS[kind](graph, look)))
    except RenderError as error:  # a picture can be drawn later; the figures cost more
        log.warning("no picture: %s; `ndg render %s` draws it later", error, run.id)
        return []
    return [Picture.of((run.folder / f"{NAME}.svg").read_text(encoding="utf-8"))]
