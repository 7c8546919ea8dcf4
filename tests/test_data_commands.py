"""`ndg data`: what is listed, what is fetched from a server on this machine, and how mistakes end."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from ndg.cli import main
from ndg.data import DATASETS
from ndg.data.sources import SOURCES, File, Source
from ndg.doctor import Finding, _data
from ndg.locations import Locations
from tests.data import fixtures
from tests.data.server import served

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def at_home(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("NDG_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """MNIST on a server, and in the table of sources instead of the publisher's."""
    fixtures.write_idx(tmp_path / "made", np.arange(10), np.arange(10))
    made = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    with served(files=made) as shelf:
        files = tuple(
            File(name, (shelf.url(name),), f"md5:{hashlib.md5(raw).hexdigest()}", plain=True)
            for name, raw in made.items()
        )
        monkeypatch.setitem(SOURCES, "mnist", Source("", "", folder="mnist", files=files))
        yield shelf


def test_the_list_names_every_data_set_with_its_licence(capsys):
    assert main(["data", "list"]) == 0
    shown = capsys.readouterr().out
    assert re.findall(r"^(\S+): ", shown, re.M) == list(DATASETS)
    assert len(re.findall(r"^  licence +\S", shown, re.M)) == len(DATASETS)
    assert len(re.findall(r"^  get +\S", shown, re.M)) == len(DATASETS)


def test_the_list_says_where_data_are_and_what_they_need(tmp_path, capsys):
    fixtures.write_idx(tmp_path / "mnist", np.arange(10), np.arange(10))
    assert main(["data", "list", "mnist", "cifar10", "images", "digits", "--json", "--data", str(tmp_path)]) == 0
    mnist, cifar, images, digits = json.loads(capsys.readouterr().out)
    assert mnist["at_hand"] == str(tmp_path / "mnist")
    assert mnist["get"] == "ndg data get mnist (11.6 MB, verified by md5)"
    assert (cifar["at_hand"], cifar["needs"]) == (None, "batches.meta, data_batch_1, test_batch")
    assert images["at_hand"] is None  # whatever lies there
    assert (digits["at_hand"], digits["needs"]) == ("bundled", "")


def test_a_data_set_is_fetched_and_then_is_at_hand(tmp_path, shelf, capsys):
    options = ["--data", str(tmp_path / "data")]
    assert main(["data", "get", "mnist", *options]) == 0
    out = capsys.readouterr().out
    assert out.startswith("mnist: fetched ")
    assert " (verified by md5) into " in out
    assert "  mnist, 10 + 10 examples, not the publisher's files, not the whole release (10 of 60,000 train " in out
    assert out.endswith("; 10 classes\n")
    assert main(["data", "get", "mnist", "--json", *options]) == 0
    (again,) = json.loads(capsys.readouterr().out)
    assert (again["fetched"], again["folder"]) == ([], str(tmp_path / "data" / "mnist"))
    assert len(shelf.requests) == 4


def test_a_data_set_that_came_is_told_also_when_the_next_fails(tmp_path, shelf, monkeypatch, capsys):
    lost = File("AllNLI.tsv.gz", (shelf.url("lost"),), plain=True)
    monkeypatch.setitem(SOURCES, "allnli", Source("", "", folder="allnli", files=(lost,)))
    assert main(["data", "get", "mnist", "allnli", "--data", str(tmp_path / "data")]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("mnist: fetched ")
    assert "AllNLI.tsv.gz must be downloaded completely from its publisher" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["get", "minst"], "a data set must be a known name; got 'minst'; nearest: mnist"),
        (["list", "minst"], "a data set must be a known name; got 'minst'; nearest: mnist"),
        (["get", "devign"], "has no download; its authors give it out by Google Drive"),
        (["get", "mqnli"], "has no download; its authors publish a program and no files"),
        (["get", "mnist", "images"], "data set 'images' has no download; it is data of your own"),
        (["get", "mnist"], "data sets need a folder; got none; name one with --data DIR or NDG_DATA"),
        (["get"], "`ndg data get` needs the name of a data set; got none"),
    ],
)
def test_a_mistake_is_told_before_anything_is_fetched(shelf, capsys, arguments, message):
    assert main(["data", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert shelf.requests == []


def test_the_doctor_marks_what_fails_and_what_is_not_there():
    marks = [Finding("a", "1.0").mark, Finding("a", "broken", "get it").mark, Finding("a", "none", there=False).mark]
    assert marks == ["ok", "!!", "– "]
    assert {finding.mark for finding in _data(Locations.choose()) if finding.state.startswith("missing")} == {"– "}


def test_the_doctor_says_how_to_get_what_is_missing():
    findings = _data(Locations.choose())
    states = {finding.name: finding.state for finding in findings}
    assert states["data set digits"] == "available"
    assert states["data set mnist"] == "missing; `ndg data get mnist`, or set data.dir (NDG_DATA)"
    assert states["data set devign"].startswith("missing; `ndg data list devign` says how to get it")


def test_the_page_about_data_names_every_data_set():
    page = (ROOT / "docs" / "data.md").read_text()
    assert set(re.findall(r"^### `(\w+)`", page, re.M)) == set(DATASETS)
    for name, source in SOURCES.items():
        assert (f"ndg data get {name}" in page) == bool(source.files), name
