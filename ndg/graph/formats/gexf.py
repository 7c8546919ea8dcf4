"""GEXF 1.2 export, for Gephi and networkx.read_gexf (https://gexf.net)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

from ndg.graph.export import EDGE, Condensed, flat
from ndg.graph.formats.escape import TYPES, lines, plain, xml


def gexf(graph: Condensed) -> Iterator[str]:
    """Condensed graph as GEXF text; its attribute `label` is called `is_label`."""
    nodes = {"is_label" if name == "label" else name: kind for name, kind in graph.node_types.items()}
    ids = {name: number for number, name in enumerate(nodes)} | {"label": list(nodes).index("is_label")}
    facts = json.dumps(graph.facts, ensure_ascii=False)
    yield (
        '<?xml version="1.0" encoding="utf-8"?>\n<gexf xmlns="http://www.gexf.net/1.2draft" version="1.2">\n'
        f"<meta><creator>ndg</creator><description>{xml(facts)}</description></meta>\n"
        '<graph mode="static" defaultedgetype="directed">\n'
    )
    for kind, types in (("node", nodes), ("edge", EDGE)):
        yield f'<attributes class="{kind}" mode="static">\n'
        for number, (name, value_type) in enumerate(types.items()):
            yield f'<attribute id="{number}" title="{xml(name)}" type="{TYPES.get(value_type, "string")}"/>\n'
        yield "</attributes>\n"
    yield "<nodes>\n"
    for key, attributes in graph.nodes():
        values_text = "".join(
            f'<attvalue for="{ids[name]}" value="{xml(value) if isinstance(value, str) else plain(value)}"/>'
            for name, value in flat(attributes).items()
        )
        yield f'<node id="{xml(key)}" label="{xml(key)}"><attvalues>{values_text}</attvalues></node>\n'
    yield "</nodes>\n<edges>\n"
    values = (f'<attvalue for="{number}" value="%s"/>' for number in range(len(EDGE)))
    pieces = ['<edge id="%s" source="%s" target="%s"><attvalues>', *values, "</attvalues></edge>\n"]
    numbers = itertools.count()
    for rows in graph.edge_values():
        yield lines([(str(next(numbers)), *row) for row in rows], xml, pieces, texts=5, ends=3)
    yield "</edges>\n</graph>\n</gexf>\n"
