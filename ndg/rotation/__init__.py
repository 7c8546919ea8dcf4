"""Layers in another basis: coordinates along principal components, or along directions learned by alignment search."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "Interchanges": "ndg.rotation.interchange",
    "Rotation": "ndg.rotation.value",
    "compare": "ndg.rotation.bases",
    "das": "ndg.rotation.alignment",
    "hierarchical_equality": "ndg.rotation.equality",
    "localist": "ndg.rotation.value",
    "pca": "ndg.rotation.principal",
    "random_rotation": "ndg.rotation.value",
}

__all__ = ["Interchanges", "Rotation", "compare", "das", "hierarchical_equality", "localist", "pca", "random_rotation"]

if TYPE_CHECKING:
    from ndg.rotation.alignment import das as das
    from ndg.rotation.bases import compare as compare
    from ndg.rotation.equality import hierarchical_equality as hierarchical_equality
    from ndg.rotation.interchange import Interchanges as Interchanges
    from ndg.rotation.principal import pca as pca
    from ndg.rotation.value import Rotation as Rotation
    from ndg.rotation.value import localist as localist
    from ndg.rotation.value import random_rotation as random_rotation


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
