"""An empty run log of each kind, and an experiment to log."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from ndg.config import Experiment
from ndg.runs.store import STORES


@pytest.fixture(params=sorted(set(STORES) - {"memory"}))  # which other processes do not see
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty run log of each kind is."""
    if request.param == "file":
        return str(tmp_path / "log.db")
    return f"{request.getfixturevalue('mongo_uri')}/{uuid.uuid4().hex}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def experiment() -> Experiment:
    return Experiment(name="digits_mlp", seed=3)
