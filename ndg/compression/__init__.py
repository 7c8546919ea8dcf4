"""Smaller networks: which units can go, and a network without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndg.lazy import lazily

if TYPE_CHECKING:
    from ndg.compression.curves import coupling as coupling
    from ndg.compression.curves import layer_removals as layer_removals
    from ndg.compression.iterative import PruneSettings as PruneSettings
    from ndg.compression.iterative import prune_network as prune_network
    from ndg.compression.methods import METHODS as METHODS
    from ndg.compression.obs import Removals as Removals
    from ndg.compression.obs import removals as removals
    from ndg.compression.result import Compression as Compression
    from ndg.compression.smaller import CompressSettings as CompressSettings
    from ndg.compression.smaller import compress as compress

__getattr__, __dir__, __all__ = lazily(__name__)
