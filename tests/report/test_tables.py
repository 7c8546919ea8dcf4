"""Tables say the same as text and as HTML, aligned, escaped, and without colour unless asked."""

import pytest

from ndg.errors import ShapeError
from ndg.report.tables import Column, Interval, Table

COLUMNS = {
    "name": Column("network", left=True),
    "rate": Column("aligned", "95 %"),
    "n": Column("n"),
    "ok": Column("ok"),
}
ROWS = [
    {"name": "digits_mlp", "rate": Interval(0.5, 0.25, 0.75), "n": 12345, "ok": True},
    {"name": "é", "rate": None, "n": 7},
    {"name": "tiny", "rate": 0.00004, "n": 0, "ok": False},
]
TABLE = Table.of("trials", COLUMNS, ROWS, note="Rates of the correct examples.", strong=frozenset({0}))


def test_text_is_aligned_with_units_thousands_and_dashes():
    assert TABLE.text() == "\n".join(
        [
            "trials",
            "network           aligned (95 %)       n   ok",
            "──────────  ────────────────────  ──────  ───",
            "digits_mlp  0.500 [0.250, 0.750]  12,345  yes",
            "é                              –       7    –",
            "tiny                     4.0e-05       0   no",
            "Rates of the correct examples.",
        ]
    )
    assert str(TABLE) == TABLE.text()


def test_colour_is_asked_for_and_no_color_refuses_it(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" not in TABLE.text()
    assert "\x1b[1m" in TABLE.text(color=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert TABLE.text(color=True) == TABLE.text()


def test_what_is_not_finite_is_a_dash_and_an_interval_keeps_its_digits():
    table = Table("", (Column("x", digits=2), Column("y")), ((float("nan"), Interval(0.0, 0.0, 0.00004)),))
    assert table.text().splitlines()[-1].split() == ["–", "0.000", "[0.000,", "0.000]"]


def test_html_is_escaped():
    table = Table("<script>", (Column("<b>", "&", left=True),), (('<img src="x">',),), note="a < b")
    html = table.html()
    for raw in ("<script>", "<img", "<b>", "a < b"):
        assert raw not in html
    assert "&lt;img src=&quot;x&quot;&gt;" in html
    assert "<small>&amp;</small>" in html


def test_html_has_every_cell_and_marks_the_strong_rows():
    html = TABLE.html()
    assert html.count("<tr") == 1 + len(ROWS)
    assert html.count("<td") == len(ROWS) * len(COLUMNS)
    assert html.count("class=strong") == 1
    assert "0.500 <small>[0.250, 0.750]</small>" in html


def test_control_characters_reach_neither_terminal_nor_row():
    table = Table("", (Column("x", left=True),), (("a\x1b[31m\nb",),))
    assert table.text().splitlines()[-1] == "a [31m b"


def test_a_ragged_row_says_what_was_expected():
    with pytest.raises(ShapeError, match=r"one cell per column: expected 1, got 2"):
        Table("", (Column("x"),), ((1, 2),))


def test_a_note_is_wrapped_to_the_width():
    table = Table("", (Column("x"),), ((1,),), note="word " * 40)
    assert max(map(len, table.text(width=60).splitlines())) <= 60


def test_markdown_has_sides_and_escapes_bars():
    table = Table.of("trials", COLUMNS, [{"name": "a|b", "rate": Interval(0.5, 0.25, 0.75), "n": 12345}], note="Rates.")
    assert table.markdown() == "\n".join(
        [
            "| network | aligned (95 %) | n | ok |",
            "| :--- | ---: | ---: | ---: |",
            "| a\\|b | 0.500 [0.250, 0.750] | 12,345 | – |",
            "",
            "Rates.",
        ]
    )
