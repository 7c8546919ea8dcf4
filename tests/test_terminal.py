"""Tables fit the terminal: cells wrap, and where words do not fit, rows and columns change places."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from ndg import terminal
from ndg.report.tables import Column, Table

HEADS = ("network", "aligned (95 %)", "n")
ROWS = [("digits_mlp", "0.500 [0.250, 0.750]", "12,345"), ("猫", "–", "7")]
SIDES = (True, False, False)


def test_without_a_width_columns_are_as_wide_as_their_cells():
    assert terminal.table(ROWS, heads=HEADS, left=SIDES).splitlines() == [
        "network           aligned (95 %)       n",
        "──────────  ────────────────────  ──────",
        "digits_mlp  0.500 [0.250, 0.750]  12,345",
        "猫                             –       7",
    ]


@pytest.mark.parametrize("width", [80, 40, 35, 30, 24])
def test_a_table_fits_the_terminal_and_keeps_every_word(width):
    text = terminal.table(ROWS, heads=HEADS, left=SIDES, width=width)
    assert max(map(cell_len, text.splitlines())) <= width
    for word in " ".join([*HEADS, *ROWS[0], *ROWS[1]]).split():
        assert word in text


def test_a_table_whose_words_do_not_fit_lies_on_its_side():
    assert terminal.table(ROWS, heads=HEADS, left=SIDES, width=40).splitlines()[0].split()[0] == "network"
    assert terminal.table(ROWS, heads=HEADS, left=SIDES, width=24).split()[:3] == ["network", "digits_mlp", "猫"]
    assert terminal.table(ROWS, heads=HEADS, left=SIDES, width=20).split("\n\n")[1].startswith("network         猫")


def test_a_text_longer_than_the_terminal_is_broken():
    text = terminal.table([("path", "x" * 100)], width=30)
    assert max(map(len, text.splitlines())) <= 30
    assert text.count("x") == 100


def test_a_wide_table_of_a_command_fits_80_columns():
    columns = tuple(Column(f"heading {number}", "unit") for number in range(14))
    table = Table("wide", columns, ((0.5,) * 14,) * 3, note="word " * 60)
    assert max(map(len, table.text(width=80, fit=True).splitlines())) <= 80
    assert len(table.text(width=80).splitlines()[1]) > 200
    assert table.text(width=80, fit=True).count("0.500") == 42


def test_a_notebook_and_the_environment_change_no_table(monkeypatch):
    plain = terminal.table(ROWS, heads=HEADS, left=SIDES)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    for name, value in {"FORCE_COLOR": "1", "TERM": "dumb", "COLUMNS": "10", "TTY_COMPATIBLE": "1"}.items():
        monkeypatch.setenv(name, value)
    assert terminal.table(ROWS, heads=HEADS, left=SIDES) == plain


def test_a_file_or_a_closed_stdout_is_no_terminal(monkeypatch):
    assert terminal.size() is None
    monkeypatch.setattr(terminal.sys, "stdout", None)
    assert terminal.size() is None
