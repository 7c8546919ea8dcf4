"""Rotated bases of a layer: principal components and learned directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndg.lazy import lazily

if TYPE_CHECKING:
    from ndg.rotation.alignment import das as das
    from ndg.rotation.basis import Rotation as Rotation
    from ndg.rotation.basis import localist as localist
    from ndg.rotation.basis import random_rotation as random_rotation
    from ndg.rotation.equality import hierarchical_equality as hierarchical_equality
    from ndg.rotation.interchange import Interchanges as Interchanges
    from ndg.rotation.principal import pca as pca

__getattr__, __dir__, __all__ = lazily(__name__)
