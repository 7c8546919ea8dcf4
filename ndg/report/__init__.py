"""Reports: tables, pictures and pages. `ndg.report(...)` writes one, see `ndg.report.objects.report`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """This package, which can be called, since it has the name of its function."""

    def __call__(self, *parts: Any, path: str | os.PathLike[str], title: str = "Report") -> Path:
        """Write a report of graphs, results, tables and run documents.

        Return its path.
        """
        from ndg.report.objects import report

        return report(*parts, path=path, title=title)


sys.modules[__name__].__class__ = _Room
