"""The embedded file: earlier layouts, newer ones, read-only places, and writers that were killed."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest

from ndg import runs
from ndg.config import Experiment
from ndg.errors import StoreError
from ndg.runs import parts
from ndg.runs.store import connect

RUNS = [
    {"_id": f"run-{i}", "kind": "train", "on": i == 1, "r": {"q": i / 2, "long": ["x" * 600] * 3}} for i in range(3)
]


def neosqlite_file(path: Path, *texts: str) -> Path:
    """A file as neosqlite wrote it, with these texts among the runs."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, _id TEXT, data TEXT NOT NULL)")
        connection.execute("CREATE UNIQUE INDEX idx_runs_id ON runs(_id)")
        rows = [(run["_id"], json.dumps(run)) for run in RUNS] + [(text, text) for text in texts]
        connection.executemany("INSERT INTO runs (_id, data) VALUES (?, ?)", rows)
    connection.close()
    return path


def tables(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_a_file_of_neosqlite_is_read_as_it_is_and_moved_by_the_first_write(tmp_path: Path):
    path = neosqlite_file(tmp_path / "ndg.db")
    before = path.read_bytes()
    store = connect(path)
    assert store.find({"r.q": {"$gte": 0.5}}, sort="-r.q", limit=1) == [RUNS[2]]
    assert path.read_bytes() == before
    assert store.insert({"_id": "new"})
    assert store.find(sort="_id") == [{"_id": "new"}, *RUNS]
    assert tables(path) == {"runs", "parts", "metrics", "sqlite_sequence"}
    store.close()
    assert connect(path).find(sort="_id") == [{"_id": "new"}, *RUNS]


def test_what_cannot_be_read_of_a_file_of_neosqlite_stays_in_it(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = neosqlite_file(tmp_path / "ndg.db", "{no json")
    connect(path).replace({"_id": "new"})
    assert len(connect(path).find()) == 4
    assert "they stay in its table runs_of_neosqlite" in caplog.text
    with sqlite3.connect(path) as connection:
        assert ("{no json",) in connection.execute("SELECT data FROM runs_of_neosqlite").fetchall()


def test_a_file_of_layout_3_is_read_as_it_is_and_moved_by_the_first_write(tmp_path: Path):
    path = tmp_path / "ndg.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE)")
        connection.execute(
            "CREATE TABLE parts (path TEXT, run INTEGER, text TEXT, PRIMARY KEY (path, run)) WITHOUT ROWID"
        )
        connection.execute("PRAGMA user_version = 3")
        for number, run in enumerate(RUNS):
            connection.execute("INSERT INTO runs VALUES (?, ?)", (number, run["_id"]))
            rows = [(part, number, text) for part, text in parts.take_apart(run).items()]
            connection.executemany("INSERT INTO parts VALUES (?, ?, ?)", rows)
    connection.close()
    before = path.read_bytes()
    assert connect(path).find({"r.q": 0.5}) == [RUNS[1]]
    assert path.read_bytes() == before
    connect(path).insert({"_id": "new"})
    assert connect(path).find(sort="_id") == [{"_id": "new"}, *RUNS]


def test_a_damaged_part_or_head_is_noticed_where_only_parts_are_read(tmp_path: Path):
    path = tmp_path / "ndg.db"
    with runs.start(path, "train", Experiment(name="digits"), tmp_path) as run:
        run.result("train", {"long": ["x" * 600] * 3, "rate": 0.5})
    columns = {"kind": 1, "results.train.rate": 1}
    content = path.read_bytes()
    for old, new in ((b'"rate":0.5', b'"rate":0.7'), (b'"kind":"train"', b'"kind":"trail"')):
        assert old in content
        path.write_bytes(content.replace(old, new))
        [document] = connect(path).find(fields=columns, checked=True)
        assert set(document) == {"_id", "damage"}
        assert runs.open(path, local=tmp_path / "none").frame(columns=[*columns]).empty
        path.write_bytes(content)
    assert connect(path).find(fields=columns, checked=True)[0]["results"] == {"train": {"rate": 0.5}}


def test_a_file_of_a_newer_layout_is_refused_and_not_changed(tmp_path: Path):
    connect(tmp_path / "ndg.db").insert(dict(RUNS[0]))
    with sqlite3.connect(tmp_path / "ndg.db") as connection:
        connection.execute("PRAGMA user_version = 9")
    before = (tmp_path / "ndg.db").read_bytes()
    for use in (lambda store: store.find(), lambda store: store.insert(dict(RUNS[1]))):
        with pytest.raises(StoreError, match="its layout is at most 4, unless a newer ndg wrote it; got 9"):
            use(connect(tmp_path / "ndg.db"))
    assert (tmp_path / "ndg.db").read_bytes() == before


def test_a_transaction_of_a_killed_writer_is_taken_back(tmp_path: Path):
    path = tmp_path / "ndg.db"
    connect(path).insert(dict(RUNS[0]))
    if (child := os.fork()) == 0:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE runs SET id = 'half'")
        connection.executemany("INSERT INTO parts VALUES (?, 1, ?, '')", [(str(i), "x" * 900) for i in range(50)])
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / "ndg.db-journal").exists()
    assert connect(path).find() == [RUNS[0]]


def test_documents_come_apart_and_together_in_their_order():
    document = {"_id": "a", "large": {"z": {"list": ["x" * 500] * 3}, "a": {"b": "y" * 990}, "c": {}}, "last": None}
    apart = parts.take_apart(document)
    assert list(map(json.loads, apart)) == [["large", "z", "list"], ["large", "z"], ["large"], []]
    assert max(len(text) for path, text in apart.items() if "list" not in path) < 1100
    assert json.dumps(parts.put_together(apart)) == json.dumps(document)
