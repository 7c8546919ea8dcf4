"""Rotated bases of a layer: principal components and learned directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndg.lazy import lazily

_HOME = {
    "Interchanges": "ndg.rotation.interchange",
    "Rotation": "ndg.rotation.basis",
    "compare": "ndg.rotation.bases",
    "das": "ndg.rotation.alignment",
    "hierarchical_equality": "ndg.rotation.equality",
    "localist": "ndg.rotation.basis",
    "pca": "ndg.rotation.principal",
    "random_rotation": "ndg.rotation.basis",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazily(__name__, _HOME)

if TYPE_CHECKING:
    from ndg.rotation.alignment import das as das
    from ndg.rotation.bases import compare as compare
    from ndg.rotation.basis import Rotation as Rotation
    from ndg.rotation.basis import localist as localist
    from ndg.rotation.basis import random_rotation as random_rotation
    from ndg.rotation.equality import hierarchical_equality as hierarchical_equality
    from ndg.rotation.interchange import Interchanges as Interchanges
    from ndg.rotation.principal import pca as pca
