"""DOT source (the language of Graphviz) of a drawing."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from itertools import pairwise
from typing import Any

from ndg.errors import ConfigError, nearest
from ndg.escape import html, one_line
from ndg.graph.causal_rows import CONCLUSION, MEMBER, VOTE
from ndg.literal import NEGATION
from ndg.report.captions import MIDDLE
from ndg.report.causal_drawing import Link
from ndg.report.drawing import JOINT, PRECISIONS, PRIOR, Drawing, Edge, Node
from ndg.report.engine import FONT
from ndg.report.straight_layout import positions

INK, SMALL, MUTED, PAPER = "#1c2430", "#3f4955", "#5d6773", "#ffffff"
LABEL_ON, LABEL_OFF, LABEL_OFF_INK = "#1f5a8a", "#dfe8f1", "#3b5f80"
SHADE = ("#ffffff", "#f6a04d")
"""Fill colours of a node with score 0 and with the largest score."""
STROKES = (
    ("#1c2430", 1.7, "solid", "━━━▸", "always"),
    ("#4a5563", 1.1, "solid", "───▸", f"at least {PRECISIONS[1]:.0%}"),
    ("#7c8794", 1.0, "dashed", "╌╌╌▸", f"at least {PRECISIONS[2]:.0%}"),
    ("#8f99a3", 1.0, "dotted", "┄┄┄▸", f"below {PRECISIONS[2]:.0%}"),
)
"""Colour, width (points), style, sample and meaning of edges, highest precision first."""
VERDICTS = {
    "survives": ("#0072b2", 1.9, "solid", "━━━▸", "holds when forced"),
    "fails": ("#d55e00", 1.1, "dashed", "╌╌╌▸", "fails when forced"),
    "untested": ("#8f99a3", 0.9, "dotted", "┄┄┄▸", "not tested"),
    "not tried": ("#8f99a3", 0.9, "dotted", "┄┄┄▸", "not tested"),
    "constraint": ("#4a5563", 1.0, "solid", "───▸", "within a layer, cannot be forced"),
}
"""The same of edges by their verdict."""
JOINED, VOTED = "#a04a1c", "#1f5a8a"
LINKS = {MEMBER: (JOINED, "none"), CONCLUSION: (JOINED, "normal"), VOTE: (VOTED, "normal")}
"""Colour and arrow of the edges of conjunctions, and of votes."""
JOINT_LOOK = {"shape": "circle", "style": "filled", "fillcolor": "#fbe9df", "color": JOINED, "fontcolor": JOINED} | {
    "fontsize": "8", "width": "0.2", "height": "0.2", "fixedsize": "true", "margin": "0", "penwidth": "0.8"
}  # fmt: skip
ENGINES = {"curved": "dot", "straight": "nop2"}
"""Graphviz engine of each layout."""
PITCH = 0.33
"""Inches between two rows of a column."""
CROWDED = 150
"""Number of edges above which they are drawn denser and translucent."""
WEIGHED = 40
"""Number of votes up to which their weights are written beside them."""
ROUTED = 500
"""Number of edges above which they are straight. Routing 6,700 edges took over 100 s and a page of 2 m x 1 m."""
_ODD = re.compile(r"[^\w.~ -]")


def layout_of(drawing: Drawing) -> str:
    """Default layout: "curved" while edges can be routed, else "straight"."""
    return "curved" if len(drawing.ends) <= ROUTED else "straight"


def source(drawing: Drawing, layout: str = "curved", dpi: int | None = None) -> str:
    """DOT text of a drawing in a layout of ENGINES."""
    import graphviz

    if layout not in ENGINES:
        raise ConfigError(f"a layout is {' or '.join(ENGINES)}; got {layout!r}; {nearest(layout, ENGINES)}")

    crowded = len(drawing.ends) > CROWDED
    rows = max(Counter((node.band, node.column) for node in drawing.nodes).values(), default=0)
    page = graphviz.Digraph(
        "ndg",
        graph_attr={
            "rankdir": "LR",
            "ranksep": f"{min(0.7 + 0.035 * rows, 3.5):.2f}",
            "nodesep": "0.03" if crowded else "0.07",
            "outputorder": "edgesfirst",
            "fontname": FONT,
            "fontsize": "10",
            "fontcolor": INK,
            "bgcolor": PAPER,
            "pad": "0.3",
            "label": f"<{_head(drawing)}>",
            "labelloc": "t",
            "labeljust": "l",
            "tooltip": " ",
            "layout": ENGINES[layout],
            "splines": "line" if layout == "straight" else "true",
            **({"dpi": str(dpi)} if dpi else {}),
            **({"mclimit": "0.3", "nslimit": "1"} if crowded else {}),
        },
        node_attr={"shape": "box", "fontname": FONT, "fontsize": "10"}
        | {"height": "0.26", "width": "0.7", "margin": "0.09,0.035"},
        edge_attr={"arrowsize": "0.55"},
    )
    ports = {}
    if layout == "straight":
        places, captions = positions(drawing)
        for i, (x, y) in enumerate(captions):
            if drawing.bands[i].caption:
                _caption(page, f"column {i}", drawing.bands[i].caption, pos=f"{x:.1f},{y:.1f}")
        for node in drawing.nodes:
            x, y = places[node.key]
            _node(page, node, drawing.measures, pos=f"{x:.1f},{y:.1f}")
        for tail, head in drawing.ends:
            ahead = places[head][0] > places[tail][0]
            ports[tail, head] = {"tailport": "e", "headport": "w"} if ahead else {"tailport": "w", "headport": "e"}
    else:
        _columns(page, drawing, rows)
    veil = "" if not crowded else "70" if layout == "straight" else "a0"
    for edge in drawing.edges:
        _edge(page, edge, veil, **ports.get((edge.tail, edge.head), {}))
    texts = layout == "curved" and sum(link.kind == VOTE for link in drawing.links) <= WEIGHED
    for link in drawing.links:
        _link(page, link, veil, texts, **ports.get((link.tail, link.head), {}))
    return page.source


def _columns(page: Any, drawing: Drawing, rows: int) -> None:
    """Add each band, on a path of captions that orders the columns."""
    spine: list[tuple[str, str, str]] = []
    for i, band in enumerate(drawing.bands):
        members = [node for node in drawing.nodes if node.band == i]
        spread = min(0.85 * rows * PITCH / len(members), 2.2) if band.side == MIDDLE and len(members) > 1 else 0.0
        taller = {"height": f"{spread:.2f}"} if spread > 2 * PITCH else {}
        for column in range(1 + max(node.column for node in members)):
            own = [node for node in members if node.column == column]
            with page.subgraph() as same:
                same.attr(rank="same")
                for node in own:
                    _node(same, node, drawing.measures, **taller)
            spine.append((f"column {i} {column}", "" if column else band.caption, _identifier(own[0].key)))
    for name, caption, beside in spine:  # declared last, so that Graphviz places it above the rest
        with page.subgraph() as same:
            same.attr(rank="same")
            same.node(beside)
            same.node(name)
        if caption:
            _caption(page, name, caption)
        else:
            page.node(name, label="", style="invis", width="0", height="0", fixedsize="true")
    for left, right in pairwise(spine):
        page.edge(left[0], right[0], style="invis", weight="100")


def _caption(page: Any, name: str, caption: str, **attributes: str) -> None:
    page.node(name, label=f"<<B>{_text(caption)}</B>>", shape="plaintext", fontcolor=MUTED, tooltip=" ", **attributes)


def _node(page: Any, node: Node, measures: tuple[str, ...], **attributes: str) -> None:
    if node.joint:
        page.node(_identifier(node.key), label=node.lines[0], tooltip=_tip(node.joint), **JOINT_LOOK, **attributes)
        return
    off = node.value is False
    if node.label:
        fill, ink, line = (LABEL_OFF, LABEL_OFF_INK, LABEL_OFF_INK) if off else (LABEL_ON, PAPER, LABEL_ON)
    else:
        fill, ink, line = _blend(node.shade), INK, MUTED
    page.node(
        _identifier(node.key),
        label=f"<{_label(node, ink)}>",
        fillcolor=fill,
        color=INK if node.target else line,
        style="rounded,filled,dashed" if off else "rounded,filled",
        penwidth="2.6" if node.target else "0.9",
        peripheries="2" if len(node.lines) + node.more > 1 else "1",
        tooltip=_tip(_about(node, measures)),
        **attributes,
    )


def _label(node: Node, ink: str) -> str:
    lines = [_text(line) for line in node.lines]
    if node.label:
        lines[0] = f"<B>{lines[0]}</B>"
    if node.more:
        lines.append(f"<I>… and {node.more:,} more</I>")
    text = f'<FONT COLOR="{ink}">{"<BR/>".join(lines)}</FONT>'
    if not any(score is not None for score in node.scores):
        return text
    small = ink if node.label else SMALL
    return f'{text} <FONT POINT-SIZE="7.5" COLOR="{small}"> {" · ".join(map(_short, node.scores))}</FONT>'


def _edge(page: Any, edge: Edge, veil: str, **attributes: str) -> None:
    """Add one edge; `veil` is its opacity as two hexadecimal digits."""
    color, width, style, _, _ = VERDICTS.get(edge.verdict) or STROKES[edge.strength]
    precision, recall = ("unknown" if rate is None else f"{rate:.4f}" for rate in (edge.precision, edge.recall))
    support, exceptions = ("–" if count is None else f"{count:,}" for count in (edge.support, edge.exceptions))
    page.edge(
        _identifier(edge.tail),
        _identifier(edge.head),
        color=color + veil,
        penwidth=str(width),
        style=style,
        edgetooltip=_tip(
            f"{edge.antecedent} → {edge.consequent}: precision {precision}, recall {recall}, support {support}, "
            f"exceptions {exceptions}" + (f", {VERDICTS[edge.verdict][4]}" if edge.verdict in VERDICTS else "")
        ),
        **attributes,
    )


def _link(page: Any, link: Link, veil: str, texts: bool, **attributes: str) -> None:
    """Add an edge of a conjunction, or a vote.

    `texts` shows the weights of votes.
    """
    color, arrow = LINKS[link.kind]
    page.edge(
        _identifier(link.tail),
        _identifier(link.head),
        color=color + veil,
        penwidth=f"{link.width:.2f}",
        arrowhead=arrow,
        edgetooltip=_tip(link.tip) or " ",
        **({"label": link.text, "fontsize": "7", "fontcolor": color, "fontname": FONT} if texts and link.text else {}),
        **attributes,
    )


def _about(node: Node, measures: tuple[str, ...]) -> str:
    members = " ≡ ".join(node.lines) + (f" … and {node.more:,} more" if node.more else "")
    scores = "".join(
        f", {name} {score:.4g}" for name, score in zip(measures, node.scores, strict=True) if score is not None
    )
    prior = "its rate is not known" if node.prior is None else f"holds on {node.prior:.1%} of the examples"
    return f"{members}: {prior}{scores}"


def _head(drawing: Drawing) -> str:
    """Title, legend, omissions and provenance as one HTML-like table."""
    rows = [
        f'<FONT POINT-SIZE="15"><B>{_text(drawing.title)}</B></FONT>',
        f'<FONT COLOR="{MUTED}">{_text(drawing.subtitle)}</FONT>',
        *_key(drawing),
        f'<FONT POINT-SIZE="8.5">{_lines(drawing.left_out, 125)}</FONT>',
        f'<FONT POINT-SIZE="7" COLOR="{MUTED}">{_lines(drawing.provenance, 150)}</FONT>',
        " ",
    ]
    return _table("".join(f'<TR><TD ALIGN="LEFT" BALIGN="LEFT">{row}</TD></TR>' for row in rows), spacing=0)


def _key(drawing: Drawing) -> list[str]:
    """Legend: samples of the kinds of nodes and edges in the picture."""
    rows = []
    labels = {node.value for node in drawing.nodes if node.label}
    neurons = {node.value for node in drawing.nodes if not (node.label or node.joint)}
    samples = [
        (bool(labels - {False}), "<B>class predicted</B>", LABEL_ON, PAPER, LABEL_ON, ""),
        (False in labels, f"<B>{NEGATION} class not predicted</B>", LABEL_OFF, LABEL_OFF_INK, LABEL_OFF_INK, ",DASHED"),
        (bool(neurons - {False}), "neuron on", PAPER, INK, MUTED, ""),
        (False in neurons, f"{NEGATION} neuron off", PAPER, INK, MUTED, ",DASHED"),
    ]
    cells = [
        f'<TD BORDER="1" COLOR="{line}" STYLE="ROUNDED{dash}" BGCOLOR="{fill}"><FONT COLOR="{ink}"> {text} </FONT></TD>'
        for present, text, fill, ink, line, dash in samples
        if present
    ]
    if any(len(node.lines) + node.more > 1 for node in drawing.nodes):
        cells.append("<TD>double frame: literals that imply each other</TD>")
    if cells:
        rows.append(_table(f"<TR>{''.join(cells)}</TR>", spacing=4))
    if drawing.edges:
        rows.append(_strokes(drawing))
    kinds = {link.kind for link in drawing.links}
    if CONCLUSION in kinds:
        sign = f'<FONT COLOR="{JOINED}">{JOINT}</FONT>'
        rows.append(
            f"{sign}  all that meets here, when forced together, makes the next one hold (tried on other examples)"
        )
    if VOTE in kinds:
        sign = f'<FONT COLOR="{VOTED}">━━━▸</FONT>'
        rows.append(f"{sign}  a vote for a class: the thicker, the more it weighs; the class with the largest sum wins")
    shaded = [node for node in drawing.nodes if node.shade]
    if shaded:
        steps = "".join(f'<FONT COLOR="{_blend((i + 0.5) / 8)}">██</FONT>' for i in range(8))
        names = f"small numbers: {_text(' · '.join(drawing.measures))}   " if drawing.measures else ""
        if drawing.filled == PRIOR:
            rows.append(f"{names}fill: share of the examples on which it holds, from 0 {steps} to 1")
        else:
            place = drawing.measures.index(drawing.filled)
            largest = max(abs(node.scores[place] or 0.0) for node in shaded if len(node.scores) > place)
            rows.append(f"{names}fill: {_text(drawing.filled)}, from 0 {steps} to ±{_short(largest)}")
    return rows


def _strokes(drawing: Drawing) -> str:
    """Samples of the strokes of edges, by precision or by verdict."""
    by_verdict = {VERDICTS[edge.verdict] for edge in drawing.edges if edge.verdict in VERDICTS}
    strokes = [stroke for stroke in dict.fromkeys(VERDICTS.values()) if stroke in by_verdict]
    strokes += [STROKES[i] for i in sorted({edge.strength for edge in drawing.edges if edge.verdict not in VERDICTS})]
    samples = "   ".join(f'<FONT COLOR="{color}">{sign}</FONT> {_text(words)}' for color, _, _, sign, words in strokes)
    if drawing.verdict:
        return f"p → q, with p forced ({_text(drawing.verdict)}):   {samples}"
    return f"p → q: when p holds, q holds too.   {samples}   (a correlation, not a cause)"


def _table(rows: str, spacing: int) -> str:
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="{spacing}" CELLPADDING="3">{rows}</TABLE>'


def _lines(text: str, width: int) -> str:
    return "<BR/>".join(map(_text, textwrap.wrap(text, width))) or " "


def _blend(shade: float) -> str:
    """Fill colour for a score as a fraction of the largest."""
    low, high = ([int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in SHADE)
    return "#" + "".join(f"{round(a + (b - a) * shade):02x}" for a, b in zip(low, high, strict=True))


def _short(score: float | None) -> str:
    if score is None:
        return "–"
    return f"{score:.2g}" if abs(score) < 100 else f"{score:,.0f}"


def _text(text: str) -> str:
    """Text of an HTML-like label in one line."""
    return html(one_line(text))


def _tip(text: str) -> str:
    """Text of a tooltip in one line, in which backslashes and entities stay what they are."""
    return _text(text).replace("\\", "\\\\")


def _identifier(key: str) -> str:
    """Identifier of a node: `/` for the colon, odd signs by number, as in `=3c`."""
    return "/".join(_ODD.sub(lambda sign: f"={ord(sign.group()):02x}", part) for part in key.split(":"))
