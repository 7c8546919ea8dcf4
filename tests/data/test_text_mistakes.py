"""Text files that are packed, have old ends of lines, or are too long: read, or named with the way out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ndg import data
from ndg.config import Data
from ndg.data import text_files
from ndg.errors import DataError

ROWS = [(f"good {number}", "ab"[number % 2]) for number in range(60)]


def load(folder: Path, name: str = "texts") -> data.Splits:
    return data.load(Data(name=name, dir=str(folder), vocabulary=300, length=16))


def table(sign: str = ",", end: str = "\n") -> bytes:
    return "".join(f"{text}{sign}{label}{end}" for text, label in [("text", "label"), *ROWS]).encode()


@pytest.mark.parametrize(
    ("name", "sign"), [("texts.csv", ","), ("texts.csv.gz", ","), ("texts.tsv", "\t"), ("texts.tsv.gz", "\t")]
)
def test_packed_tables_are_read_whatever_their_name(tmp_path, name, sign):
    for folder, file, content in (
        (tmp_path / "plain", f"texts{Path(name).suffixes[0]}", table(sign)),
        (tmp_path / "packed", name, gzip.compress(table(sign))),
    ):
        folder.mkdir()
        (folder / file).write_bytes(content)
    assert load(tmp_path / "packed").digest == load(tmp_path / "plain").digest


def test_packed_json_lines_are_read_whatever_their_name(tmp_path):
    rows = [json.dumps({"func": f"f{number}", "target": number % 2, "idx": number}) for number in range(60)]
    (tmp_path / "train.jsonl").write_bytes(gzip.compress("\n".join(rows).encode()))
    assert sum(load(tmp_path, "devign").sizes().values()) == 60


@pytest.mark.parametrize("rows", [1, 500_000])
def test_lines_that_end_in_cr_alone_are_named(tmp_path, rows):
    (tmp_path / "texts.csv").write_bytes(table(end="\r") * rows if rows == 1 else b"text,label\r" + b"good,a\r" * rows)
    with pytest.raises(DataError, match=r"lines must end in LF or CR LF; .*texts\.csv has CR alone, .*; convert it"):
        load(tmp_path)


def test_a_return_inside_a_quoted_text_is_no_end_of_a_line(tmp_path):
    (tmp_path / "texts.csv").write_bytes(b'text,label\r\n"a\rb",a\r\n' + table(end="\r\n").partition(b"\n")[2])
    assert sum(load(tmp_path).sizes().values()) == 61


@pytest.mark.parametrize("lines", [1, 3])
def test_a_row_that_is_too_long_is_named_by_the_line_where_it_begins(tmp_path, lines):
    text = "\n".join(["word " * (text_files.LONGEST // lines // 5 + 9)] * lines)
    (tmp_path / "texts.csv").write_bytes(table() + f'"{text}",a\n'.encode())
    with pytest.raises(
        DataError,
        match=r"texts\.csv, line 62 must have at most 4,194,304 (bytes|characters); got more.*; shorten its texts",
    ):
        load(tmp_path)


def test_a_number_of_too_many_digits_is_named(tmp_path):
    rows = [json.dumps({"func": f"f{number}", "target": number % 2, "idx": number}) for number in range(60)]
    rows[7] = f'{{"func": "f", "target": 1, "idx": {"7" * 5000}}}'
    (tmp_path / "train.jsonl").write_text("\n".join(rows))
    with pytest.raises(
        DataError,
        match=r"line 8 must have numbers of at most 4,300 digits; got a longer one; write it as text",
    ):
        load(tmp_path, "devign")


def test_a_field_that_comes_twice_is_named(tmp_path):
    rows = [json.dumps({"func": f"f{number}", "target": number % 2, "idx": number}) for number in range(60)]
    (tmp_path / "train.jsonl").write_text("\n".join(rows))
    whole = load(tmp_path, "devign")
    rows[7] = '{"func": "f7", "other": 1, "other": 2, "target": 1, "idx": 7}'
    (tmp_path / "train.jsonl").write_text("\n".join(rows))
    assert load(tmp_path, "devign").digest == whole.digest
    rows[7] = '{"func": "f", "func": "g", "target": 1, "idx": 7}'
    (tmp_path / "train.jsonl").write_text("\n".join(rows))
    with pytest.raises(DataError, match=r"line 8 must be one JSON object; its field 'func' comes twice; copy the file"):
        load(tmp_path, "devign")


@pytest.mark.parametrize("above", [b"\n", b"\r\n  \r\n", "\ufeff\n".encode()])
def test_blank_lines_above_the_header_and_below_the_rows_are_left_out(tmp_path, above):
    (tmp_path / "texts.csv").write_bytes(above + table() + b"\t\n")
    assert sum(load(tmp_path).sizes().values()) == 60
    (tmp_path / "texts.csv").write_bytes(above + table() + b"a,b,c\n")
    with pytest.raises(DataError, match=f"line {above.count(10) + 62} must have 2 columns"):
        load(tmp_path)


def test_blank_lines_of_json_lines_may_have_tabs(tmp_path):
    rows = [json.dumps({"func": f"f{number}", "target": number % 2, "idx": number}) for number in range(60)]
    (tmp_path / "train.jsonl").write_text("\n".join(["", *rows, "\t", ""]))
    assert sum(load(tmp_path, "devign").sizes().values()) == 60


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_another_encoding_without_a_mark_is_named(tmp_path, encoding):
    (tmp_path / "texts.csv").write_bytes(table().decode().encode(encoding))
    with pytest.raises(DataError, match=r"line 1 must be UTF-8 text; it has zero bytes, as UTF-16 has; convert the fi"):
        load(tmp_path)
