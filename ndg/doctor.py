"""Checks of this machine, each by one real use, with remedies."""

from __future__ import annotations

import operator
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ndg.errors import NDGError
from ndg.extras import DISTRIBUTION, EXTRAS, installed
from ndg.locations import Locations

PACKAGES = ("torch", "numpy", "numba", "networkx", "pandas", "graphviz", "pygraphviz", "safetensors", "scikit-learn")
OPTIONAL = ("ray", "pymongo", "transformers", "matplotlib", "pyarrow")


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    A `remedy` means that it failed; what is not `there` is optional.
    """

    name: str
    state: str
    remedy: str = ""
    there: bool = True

    @property
    def mark(self) -> str:
        """`ok`, `!!` for a failure, `–` for what is not there."""
        return "!!" if self.remedy else "ok" if self.there else "– "


def examine(locations: Locations) -> list[Finding]:
    """Results of all checks: packages, device, kernel, Ray, Graphviz, run log, data."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("device", _device),
        ("counting kernel", _kernel),
        ("Ray", _ray),
        ("Graphviz", _graphviz),
        ("runs folder", lambda: _writable(locations.runs)),
        ("run log", lambda: _store(locations.store)),
    ]
    findings = [_package(name) for name in (*PACKAGES, *OPTIONAL)]
    for name, check in checks:
        try:
            findings.append(Finding(name, check()))
        except (NDGError, ImportError, OSError, RuntimeError) as error:
            findings.append(Finding(name, "does not work", str(error).strip() or type(error).__name__))
    return [*findings, *_data(locations)]


def _package(name: str) -> Finding:
    try:
        return Finding(name, version(name))
    except PackageNotFoundError:
        if name in OPTIONAL:
            way = f"not installed; pip install '{DISTRIBUTION}[{EXTRAS[name]}]' if you need it"
            return Finding(name, way, there=False)
        return Finding(name, "not installed", "pip install -r requirements.lock (or `make`) installs every package")


def _device() -> str:
    import torch

    cpu = f"cpu, {torch.get_num_threads()} threads"
    return f"{cpu}; cuda, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else f"{cpu}; no cuda"


def _kernel() -> str:
    import numpy as np

    from ndg.bits.matrix import BitMatrix
    from ndg.mining.counters import count
    from ndg.nodes import NodeSpace

    values = np.random.default_rng(0).random((1000, 9)) < 0.5
    both = count(BitMatrix.from_bool(values, NodeSpace(9))).both
    if (both != values.T.astype(np.int64) @ values).any():
        raise RuntimeError(
            "the compiled kernel counts wrongly on this machine; delete __pycache__ folders and report this"
        )
    return "counts correctly"


def _ray() -> str:
    from ndg.executors import ray

    if not installed("ray"):
        return "not installed; the executors 'serial' and 'threads' need no package"
    if ray(cpus=1, timeout=60.0).total(operator.mul, 2, [20, 1], "check Ray") != 42:
        raise RuntimeError("Ray added up 40 and 2 wrongly; reinstall ray")
    return f"starts and answers ({version('ray')})"


def _graphviz() -> str:
    import tempfile

    from ndg.report.engine import layout

    with tempfile.TemporaryDirectory() as folder:
        layout('digraph { "label:0" -> "latent:1" }', Path(folder) / "check.pdf", timeout=30.0)
    dot = shutil.which("dot")
    return f"draws with {dot}" if dot else "draws with the engine inside pygraphviz (no `dot` on the PATH)"


def _writable(folder: Path) -> str:
    parent = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise OSError(f"{folder} cannot be written; choose another with --runs, NDG_RUNS or global_params.py")
    return f"{folder} ({'exists' if folder.exists() else 'created by the first run'})"


def _store(uri: str) -> str:
    from ndg import runs

    if "://" not in uri and not Path(uri).exists():
        return f"{uri} (created by the first run)"
    with runs.open(uri) as log:
        count = len(log.find({}))
    return f"{log.uri}, {count} runs"


def _data(locations: Locations) -> list[Finding]:
    """Checks of the data sets of all shipped configs."""
    from ndg import config, data
    from ndg.data.sources import SOURCES

    experiments = [locations.place(config.load(path)) for path in config.configs().values()]
    findings = []
    for name, settings in {experiment.data.name: experiment.data for experiment in experiments}.items():
        way = f"`ndg data get {name}`" if SOURCES[name].files else f"`ndg data list {name}` says how to get it"
        there = data.absent(settings) is None
        state = "available" if there else f"missing; {way}, or set data.dir (NDG_DATA)"
        findings.append(Finding(f"data set {name}", state, there=there))
    return findings
