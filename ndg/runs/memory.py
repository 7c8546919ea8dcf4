"""A store in the memory of this process, for tests and trials."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ndg.runs.selection import Selection


class MemoryLink:
    """Documents by their ids."""

    def __init__(self) -> None:
        self._documents: dict[str, dict[str, Any]] = {}

    def find(self, selection: Selection) -> list[dict[str, Any]]:
        return copy.deepcopy(selection.among(self._documents.values()))

    def change(self, id: str, edit: Callable[[dict[str, Any] | None], dict[str, Any] | None]) -> None:
        document = edit(copy.deepcopy(self._documents.get(id)))
        if document is None:
            self._documents.pop(id, None)
        else:
            self._documents[id] = copy.deepcopy(document)

    def close(self) -> None:
        """Keep the documents: a closed store opens again at its next use."""
