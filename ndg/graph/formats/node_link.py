"""Node-link JSON export, for networkx.node_link_graph(document, edges="edges")."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from ndg.errors import GraphError
from ndg.graph.export import EDGE, Condensed, Row

SCHEMA = 1


def node_link(graph: Condensed) -> Iterator[str]:
    """Condensed graph as JSON text, one node or edge per line.

    `nodes` have their key as `id`, `edges` have `source` and `target`, both with all attributes. Further keys are
    `format` ("ndg-condensed"), `schema` (1), `directed`, `multigraph` and `graph`, the facts. In a graph with
    conjunctions or votes, each node and edge has a `kind`; further attributes are those of `ndg.graph.causal_rows`.
    """
    encode: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    text = cache(encode)
    head = {"format": "ndg-condensed", "schema": SCHEMA, "directed": True, "multigraph": False, "graph": graph.facts}
    try:
        yield encode(head).removesuffix("}")
        yield ',\n"nodes": ['
        yield from _lines(encode, (attributes | {"id": key} for key, attributes in graph.nodes()))
        yield '],\n"edges": ['
        if graph.causal:
            rows = ({"source": tail, "target": head} | attributes for tail, head, attributes in graph.edges())
            yield from _lines(encode, rows)
            yield "]}\n"
            return
        form = '\n{"source": %s, "target": %s' + "".join(f', "{name}": %s' for name in EDGE) + "}"
        for number, batch in enumerate(graph.edge_values()):
            formatted = [form % (*map(text, row[:4]), *("null" if v is None else v for v in row[4:])) for row in batch]
            yield ("," if number else "") + ",".join(formatted)
        yield "]}\n"
    except ValueError as error:
        raise GraphError(
            f"JSON needs finite numbers; the criterion or a score has another ({error}); leave that score out"
        ) from error


def _lines(encode: Callable[[Any], str], rows: Iterable[Row]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield f"{',' if number else ''}\n{encode(row)}"
