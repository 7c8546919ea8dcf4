"""GraphML export, for networkx, yEd and Gephi (http://graphml.graphdrawing.org)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ndg.graph.export import EDGE, Condensed, Row, flat
from ndg.graph.formats.escape import TYPES, lines, plain, xml


def graphml(graph: Condensed) -> Iterator[str]:
    """Condensed graph as GraphML text, without unknown values."""
    facts = flat(graph.facts)
    names: dict[tuple[str, str], str] = {}
    yield '<?xml version="1.0" encoding="utf-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
    kinds = {"graph": {name: type(value) for name, value in facts.items()}, "node": graph.node_types, "edge": EDGE}
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
    ids = {name: names["edge", name] for name in EDGE}
    data = (f'<data key="{ids[name]}">%s</data>' for name in EDGE)
    pieces = ['<edge source="%s" target="%s">', *data, "</edge>\n"]
    for rows in graph.edge_values():
        yield lines(rows, xml, pieces, texts=4, ends=2)
    yield "</graph>\n</graphml>\n"


def _data(attributes: Row, ids: Mapping[str, str]) -> Iterator[str]:
    for name, value in attributes.items():
        if value is not None:
            yield f'<data key="{ids[name]}">{xml(value) if isinstance(value, str) else plain(value)}</data>'
