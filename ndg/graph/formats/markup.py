"""GraphML, GEXF (https://gexf.net) and DOT export: escaped text, formatted row by row."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from ndg.escape import dot as quoted
from ndg.escape import xml
from ndg.graph.export import EDGE, Condensed, Row, flat, name_of

TYPES = {bool: "boolean", int: "long", float: "double"}  # in GraphML and GEXF


def graphml(graph: Condensed) -> Iterator[str]:
    """Condensed graph as GraphML text, without unknown values."""
    facts = flat(graph.facts)
    names: dict[tuple[str, str], str] = {}
    yield '<?xml version="1.0" encoding="utf-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
    kinds = {
        "graph": {name: type(value) for name, value in facts.items()},
        "node": graph.node_types,
        "edge": graph.edge_types,
    }
    for kind, types in kinds.items():
        for name, value_type in types.items():
            names[kind, name] = f"d{len(names)}"
            yield (
                f'<key id="{names[kind, name]}" for="{kind}" attr.name="{xml(name)}" '
                f'attr.type="{TYPES.get(value_type, "string")}"/>\n'
            )
    yield '<graph edgedefault="directed">\n'
    yield from _data(facts, {name: names["graph", name] for name in facts})
    yield "\n"
    ids = {name: names["node", name] for name in graph.node_types}
    for key, attributes in graph.nodes():
        yield f'<node id="{xml(key)}">' + "".join(_data(flat(attributes), ids)) + "</node>\n"
    ids = {name: names["edge", name] for name in graph.edge_types}
    if graph.causal:
        for tail, head, attributes in graph.edges():
            ends = f'<edge source="{xml(tail)}" target="{xml(head)}">'
            yield ends + "".join(_data(flat(attributes), ids)) + "</edge>\n"
        yield "</graph>\n</graphml>\n"
        return
    data = (f'<data key="{ids[name]}">%s</data>' for name in ids)
    pieces = ['<edge source="%s" target="%s">', *data, "</edge>\n"]
    for rows in graph.edge_values():
        yield lines(rows, xml, pieces, texts=4, ends=2)
    yield "</graph>\n</graphml>\n"


def _data(attributes: Row, ids: Mapping[str, str]) -> Iterator[str]:
    for name, value in attributes.items():
        if value is not None:
            yield f'<data key="{ids[name]}">{xml(value) if isinstance(value, str) else plain(value)}</data>'


def gexf(graph: Condensed) -> Iterator[str]:
    """Condensed graph as GEXF text; its attribute `label` is called `is_label`.

    Nodes and constants are the name of the graph, which networkx reads back.
    """
    nodes = {"is_label" if name == "label" else name: kind for name, kind in graph.node_types.items()}
    ids = {name: number for number, name in enumerate(nodes)} | {"label": list(nodes).index("is_label")}
    facts = json.dumps(graph.facts, ensure_ascii=False)
    yield (
        '<?xml version="1.0" encoding="utf-8"?>\n<gexf xmlns="http://www.gexf.net/1.2draft" version="1.2">\n'
        f"<meta><creator>ndg</creator><description>{xml(facts)}</description></meta>\n"
        f'<graph mode="static" defaultedgetype="directed" name="{xml(name_of(graph.facts))}">\n'
    )
    for kind, types in (("node", nodes), ("edge", graph.edge_types)):
        yield f'<attributes class="{kind}" mode="static">\n'
        for number, (name, value_type) in enumerate(types.items()):
            yield f'<attribute id="{number}" title="{xml(name)}" type="{TYPES.get(value_type, "string")}"/>\n'
        yield "</attributes>\n"
    yield "<nodes>\n"
    for key, attributes in graph.nodes():
        yield f'<node id="{xml(key)}" label="{xml(key)}">{_attvalues(attributes, ids)}</node>\n'
    yield "</nodes>\n<edges>\n"
    if graph.causal:
        ids = {name: number for number, name in enumerate(graph.edge_types)}
        for number, (tail, head, attributes) in enumerate(graph.edges()):
            ends = f'<edge id="{number}" source="{xml(tail)}" target="{xml(head)}">'
            yield f"{ends}{_attvalues(attributes, ids)}</edge>\n"
        yield "</edges>\n</graph>\n</gexf>\n"
        return
    values = (f'<attvalue for="{number}" value="%s"/>' for number in range(len(EDGE)))
    pieces = ['<edge id="%s" source="%s" target="%s"><attvalues>', *values, "</attvalues></edge>\n"]
    numbers = itertools.count()
    for rows in graph.edge_values():
        yield lines([(str(next(numbers)), *row) for row in rows], xml, pieces, texts=5, ends=3)
    yield "</edges>\n</graph>\n</gexf>\n"


def _attvalues(attributes: Row, ids: Mapping[str, int]) -> str:
    values = "".join(
        f'<attvalue for="{ids[name]}" value="{xml(value) if isinstance(value, str) else plain(value)}"/>'
        for name, value in flat(attributes).items()
    )
    return f"<attvalues>{values}</attvalues>"


def dot(graph: Condensed) -> Iterator[str]:
    """Condensed graph as DOT text; its attribute `label` is called `is_label`."""
    yield f"// {json.dumps(graph.facts, ensure_ascii=False)}\ndigraph ndg {{\n"
    for key, attributes in graph.nodes():
        yield f"{quoted(key)} [{_pairs(attributes)}];\n"
    if graph.causal:
        for tail, head, attributes in graph.edges():
            yield f"{quoted(tail)} -> {quoted(head)} [{_pairs(attributes)}];\n"
        yield "}\n"
        return
    values = (f"{name}=%s, " if kind is str else f'{name}="%s", ' for name, kind in EDGE.items())
    pieces = ["%s -> %s [", *values, "];\n"]
    for rows in graph.edge_values():
        yield lines(rows, quoted, pieces, texts=4, ends=2)
    yield "}\n"


def _pairs(attributes: Row) -> str:
    return ", ".join(
        f"{quoted('is_label' if name == 'label' else name)}={quoted(plain(value))}"
        for name, value in flat(attributes).items()
    )


def lines(
    rows: list[tuple[Any, ...]], escape: Callable[[str], str], pieces: Sequence[str], texts: int, ends: int = 0
) -> str:
    """Text of all rows: pieces with values for `%s`, unknown ones omitted.

    The first `texts` values are escaped; the first `ends` values stand in the first piece.
    """
    escaped, whole = cache(escape), "".join(pieces)
    formatted = []
    for row in rows:
        values = (*map(escaped, row[:texts]), *row[texts:])
        if None in row:
            known_pieces = [piece for piece, value in zip(pieces[1:-1], row[ends:], strict=True) if value is not None]
            form = "".join((pieces[0], *known_pieces, pieces[-1]))
            formatted.append(form % tuple(value for value in values if value is not None))
        else:
            formatted.append(whole % values)
    return "".join(formatted)


def plain(value: str | float | int | bool) -> str:
    """Value as GraphML, GEXF and DOT write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
