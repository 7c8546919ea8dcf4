"""Finished scores in a folder, so that killed scoring can resume.

Each score is a journal of one task, named by the method and a digest of everything that the score depends on. A method
of many tasks keeps its finished tasks in a second journal while it runs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ndg.activations.batches import device_of
from ndg.activations.digest import digest_of, network_digest
from ndg.executors.journal import Journal, opened
from ndg.importance.evaluation.spec import scored, stepping
from ndg.importance.scores import Scores
from ndg.importance.settings import Loader, Settings


@dataclass(frozen=True)
class Kept:
    """Folder of finished scores; `data` is a digest of the examples."""

    folder: Path
    data: str


@dataclass(frozen=True, eq=False)
class Timed:
    """Scores and their seconds, None if an earlier process computed a part."""

    scores: Scores
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; inverse of `from_dict`."""
        return {"scores": self.scores.to_dict(), "seconds": self.seconds}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Timed:
        return cls(Scores.from_dict(document["scores"]), document["seconds"])


def timed(
    kept: Kept | None,
    model: nn.Module,
    loader: Loader,
    layers: Iterable[str] | None,
    method: str,
    settings: Settings = Settings(),
) -> Timed:
    """Kept or newly computed scores of a method."""
    settings = stepping(method, settings)
    paths = [layers] if isinstance(layers, str) else None if layers is None else list(layers)
    if kept is None:
        return _computed(model, loader, paths, method, settings)
    digest = digest_of([method, network_digest(model), str(device_of(model)), paths, settings.identity, kept.data])
    name = f"{re.sub(r'[^A-Za-z0-9_=.,-]+', '_', method)[:80]}-{digest}"
    tasks = kept.folder / f"{name}.tasks.jsonl"
    journalled = replace(settings, options=replace(settings.options, journal=tasks))
    with opened(Journal(kept.folder / f"{name}.jsonl", digest, Timed.from_dict)) as book:
        done = book.take(0) if 0 in book else book.keep(0, _computed(model, loader, paths, method, journalled))
    tasks.unlink(missing_ok=True)
    return done


def _computed(model: nn.Module, loader: Loader, layers: list[str] | None, method: str, settings: Settings) -> Timed:
    journal = settings.options.journal
    whole, began = not isinstance(journal, Path) or not journal.exists(), time.perf_counter()
    scores = scored(model, loader, layers, method, settings)
    return Timed(scores, time.perf_counter() - began if whole else None)
