"""Scripts of `analysis` run in this process: a new one would first import torch."""

from __future__ import annotations

import runpy
import sys

import pytest


def run_module(name: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit status of `python -m name words`."""
    monkeypatch.setattr(sys, "argv", [name, *words])
    monkeypatch.delitem(sys.modules, name, raising=False)  # Python warns of modules that run a second time
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(name, run_name="__main__")
    return int(ended.value.code or 0)
