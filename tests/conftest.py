"""Shapes in annotations are checked while the tests run; shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

from jaxtyping import install_import_hook

ROOT = Path(__file__).parent.parent
COMPILED = {"ndg.mining.kernel"}  # compiled by numba, which cannot see through a wrapper


def _modules() -> list[str]:
    paths = [path.relative_to(ROOT).with_suffix("") for path in sorted((ROOT / "ndg").rglob("*.py"))]
    names = [".".join(path.parts) for path in paths if path.name not in ("__init__", "__main__")]
    return [name for name in names if name not in COMPILED]


hook = install_import_hook(_modules(), "beartype.beartype")

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
