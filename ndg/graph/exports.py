"""Methods of a graph that write files for other programs."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ndg import atomic
from ndg.errors import RenderError
from ndg.graph.export import Condensed
from ndg.graph.formats import EXPORTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = {"max_nodes": 60, "timeout": 10.0}
"""Options of the picture that a notebook shows."""


class Exports(ABC):
    """Exports of a condensed graph, as text or to a file."""

    @abstractmethod
    def condensed(self, only: Collection[str] | None = None) -> Condensed:
        """Condensed graph as rows for writers, optionally of the classes `only`."""

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str | Path:
        """Condensed graph as node-link JSON text, or the `path` that it is streamed to."""
        return self._exported("json", path)

    def to_graphml(self, path: str | os.PathLike[str] | None = None) -> str | Path:
        """Condensed graph as GraphML."""
        return self._exported("graphml", path)

    def to_gexf(self, path: str | os.PathLike[str] | None = None) -> str | Path:
        """Condensed graph as GEXF, for Gephi."""
        return self._exported("gexf", path)

    def to_dot(self, path: str | os.PathLike[str] | None = None) -> str | Path:
        """Condensed graph as DOT with all attributes; `ndg.render` draws pictures."""
        return self._exported("dot", path)

    def to_csv(self, path: str | os.PathLike[str] | None = None, raw: bool = False) -> str | Path:
        """Table of `edges_frame` as CSV, with `'` before cells like formulas unless `raw`."""
        return self._exported("csv", path, raw=raw)

    def to_parquet(self, path: str | os.PathLike[str]) -> Path:
        """Path of the table of `edges_frame` as Parquet; needs pyarrow."""
        return atomic.write(path, EXPORTS["parquet"](self.condensed()))

    def explore(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write a page on which the graph can be explored, as `ndg.explore`."""
        import ndg

        return ndg.explore(self, path, **options)  # type: ignore[arg-type]

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Matplotlib axes with the picture of the graph, as `ndg.plot`."""
        import ndg

        return ndg.plot(self, ax, **options)  # type: ignore[arg-type]

    def _repr_svg_(self) -> str | None:
        """SVG text of at most 60 nodes for notebooks.

        None where it cannot be drawn.
        """
        import ndg

        with TemporaryDirectory() as folder:
            try:
                path = ndg.render(self, Path(folder) / "graph.svg", **SHOWN)  # type: ignore[arg-type]
                return path.read_text(encoding="utf-8")
            except RenderError:
                return None

    def _exported(self, form: str, path: str | os.PathLike[str] | None, **options: Any) -> str | Path:
        parts = EXPORTS[form](self.condensed(), **options)
        return "".join(map(str, parts)) if path is None else atomic.write(path, parts)
