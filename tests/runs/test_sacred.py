"""Runs in sacred's layout have the fields that docs/mongodb.md writes down; files go to GridFS and come back."""

from __future__ import annotations

import json
import re
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from ndg import cli, config, runs
from ndg.config import Experiment
from ndg.errors import ConfigError
from ndg.runs.store import connect, sacred_uri

DOCS = Path(__file__).parents[2] / "docs" / "mongodb.md"
KINDS: dict[str, Any] = {
    "integer": int,
    "text": str,
    "date": datetime,
    "number": (int, float),
    "mapping": dict,
    "list": list,
    "null": type(None),
    "id": object,
}


def schema(title: str) -> dict[str, tuple[type, ...]]:
    """Fields and their types, of the table under a heading of docs/mongodb.md."""
    section = DOCS.read_text().partition(f"### {title}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| ([a-z ]+) \|", section, re.MULTILINE)
    return {field: tuple(KINDS[word] for word in kinds.split(" or ")) for field, kinds in rows}


def check(document: dict[str, Any], fields: dict[str, Any]) -> None:
    for field, kinds in fields.items():
        value: Any = document
        for key in field.split("."):
            assert key in value, field
            value = value[key]
        assert isinstance(value, tuple(kinds)), (field, value)
    assert set(document) <= {field.split(".")[0] for field in fields}


@pytest.fixture
def logged(mongo_uri: str, tmp_path: Path) -> tuple[str, Path]:
    """The address of a log that uploads files and mirrors for sacred, with one run."""
    uri = config.store_uri({"store": {"uri": f"{mongo_uri}/{uuid.uuid4().hex}", "upload": True, "sacred": True}})
    assert uri is not None
    with runs.start(uri, "align", Experiment(name="digits_mlp"), tmp_path / "runs", tags=["paper"]) as run:
        for epoch in (1, 2):
            run.metric({"epoch": epoch, "loss": 0.5 / epoch, "note": "text", "absent": None})
        run.result("trial.q.test", {"aligned": 0.9})
        (run.folder / "graph.json").write_bytes(b"\0graph" * 1000)
        run.artefact(run.folder / "graph.json")
    return uri, tmp_path / "runs"


def test_a_run_is_mirrored_and_exported_as_sacred_writes_it(logged: tuple[str, Path], mongo_uri: str, capsys):
    uri, root = logged
    target = f"{mongo_uri}/{uuid.uuid4().hex}"
    words = ["runs", "export", "--sacred", target, "--store", uri, "--runs", str(root), "--json"]
    assert cli.main(words) == cli.main(words) == 0
    record = runs.open(uri).get("last")
    assert json.loads(capsys.readouterr().out.partition("\n}\n")[0] + "}") == {record.id: 1}
    with MongoClient(mongo_uri) as client:
        for address in (target, sacred_uri(uri.partition("#")[0])):
            database = client[address.rpartition("/")[2]]
            [document] = database["runs"].find()
            check(document, schema("`runs`, as sacred writes it"))
            assert (document["_id"], document["ndg"]["run"], document["result"]) == (1, record.id, 0.9)
            assert document["omniboard"]["tags"] == ["paper"]
            [metric] = database["metrics"].find()
            check(metric, schema("`metrics`, as sacred writes it"))
            assert (metric["name"], metric["steps"], metric["values"]) == ("loss", [1, 2], [0.5, 0.25])
            assert document["info"]["metrics"] == [{"id": str(metric["_id"]), "name": "loss"}]
            assert all(isinstance(time, datetime) for time in metric["timestamps"])
            assert [entry["name"] for entry in document["artifacts"]] == ["graph.json"]
            assert database["fs.files"].find_one({"_id": document["artifacts"][0]["file_id"]})["length"] == 6000
        own = client[uri.partition("#")[0].rpartition("/")[2]]
        check(own["runs"].find_one(), schema("`runs`"))
        for block in own["metrics"].find():
            check(block, schema("`metrics`"))


def test_files_are_fetched_on_another_machine(logged: tuple[str, Path], tmp_path: Path, capsys):
    uri, root = logged
    record = runs.open(uri, local=root).get("last")
    other = tmp_path / "other"
    root.rename(tmp_path / "gone")
    assert cli.main(["fetch", "last", "--store", uri, "--runs", str(other)]) == 0
    assert (other / record.id / "graph.json").read_bytes() == b"\0graph" * 1000
    fetched = runs.record.read(other / record.id)
    assert fetched is not None
    assert {name for name in record if fetched.get(name) != record[name]} <= {"folder", "journal", "checksum_record"}
    assert cli.main(["fetch", "last", "--store", uri, "--runs", str(other)]) == 1
    assert "is fetched into a new folder" in capsys.readouterr().err
    assert cli.main(["fetch", "last", "--runs", str(other)]) == 2


def test_an_option_of_the_store_needs_a_server():
    with pytest.raises(ConfigError, match=r"store\.upload writes to a MongoDB server"):
        config.store_uri({"store": {"uri": "a.db", "upload": True}})
    with pytest.raises(ConfigError, match=r"has upload and sacred; got 'uplaod'"):
        connect("mongodb://h/ndg#uplaod")
    assert sacred_uri("mongodb://u:p@h/ndg?w=1") == "mongodb://u:p@h/ndg_sacred?w=1&authSource=ndg"
