"""A cache of what runs before the intervened layers."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_flatten

BUDGET = 1 << 30
"""Bytes that are held in memory."""


class Cache:
    """Values by key, in memory up to a budget of bytes.

    Tensors beyond it lie in a temporary folder, which goes with the cache. A key is written once. Another process gets
    an empty cache of the same budget.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget, self._left = budget, budget
        self._held: dict[Any, Any] = {}
        self._files: dict[Any, Path] = {}
        self._folder: Path | None = None
        self._lock = threading.Lock()

    def __contains__(self, key: Any) -> bool:
        return key in self._held or key in self._files

    def __getitem__(self, key: Any) -> Any:
        if key in self._held:
            return self._held[key]
        return torch.load(self._files[key], weights_only=False)  # written by this process, in a folder of its own

    def __setitem__(self, key: Any, value: Any) -> None:
        size = sum(leaf.nbytes for leaf in tree_flatten(value)[0] if isinstance(leaf, torch.Tensor))
        with self._lock:
            if key in self:
                return
            if size <= self._left:
                self._left -= size
                self._held[key] = value
                return
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="ndg-cache-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            path = self._folder / f"{len(self._files)}.pt"
            torch.save(value, path)
            self._files[key] = path

    @property
    def on_disk(self) -> int:
        """Number of values that did not fit into the budget."""
        return len(self._files)

    def __reduce__(self) -> tuple[type[Cache], tuple[int]]:
        return Cache, (self._budget,)
