"""Packages that are installed on request, by the extras of pyproject.toml.

Modules import them inside functions, after `require`.
"""

from __future__ import annotations

from importlib.util import find_spec

from ndg.errors import MissingPackageError

DISTRIBUTION = "neuron-dependency-graphs"
"""Name of this package on PyPI."""

EXTRAS = {
    "ray": "ray",
    "pymongo": "mongo",
    "transformers": "hf",
    "tokenizers": "hf",
    "matplotlib": "plots",
    "pyarrow": "parquet",
    "starlette": "ui",
    "uvicorn": "ui",
    "tensorboard": "tensorboard",
    "torch_pruning": "bench",
}
"""Extra that installs each optional package."""


def require(package: str, purpose: str, instead: str = "") -> None:
    """Raise MissingPackageError with the install line if an optional package is not installed.

    `purpose` is what needs the package, such as "the executor 'ray'"; `instead` what works without it.
    """
    if not installed(package):
        extra = EXTRAS[package]
        remedy = f"; {instead}" if instead else ""
        raise MissingPackageError(f"{purpose} needs {package}: pip install '{DISTRIBUTION}[{extra}]'{remedy}")


def installed(package: str) -> bool:
    """Whether an optional package can be imported."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False
