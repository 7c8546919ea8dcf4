"""Export formats of the graph, in parts.

A new one is one function and one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ndg.graph.formats.markup import dot, gexf, graphml
from ndg.graph.formats.node_link import node_link
from ndg.graph.formats.table import csv, parquet

Writer = Callable[..., Iterator[str] | Iterator[bytes]]
"""Takes a `Condensed`; that of CSV also `raw`."""

EXPORTS: dict[str, Writer] = {
    "json": node_link,
    "graphml": graphml,
    "gexf": gexf,
    "dot": dot,
    "csv": csv,
    "parquet": parquet,
}
