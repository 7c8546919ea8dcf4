"""`ndg efficiency`: a logged run with its table, figures and page; two networks; a network of one's own."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import pytest

from ndg import runs
from ndg.cli import main

pytestmark = pytest.mark.slow

OWN = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 3))
    inputs = torch.randn(60, 4)
    return network, {"train": [(inputs[:40], torch.arange(40) % 3)], "test": [(inputs[40:], torch.arange(20) % 3)]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for seed in ("0", "1"):
        words = ["train", "digits_mlp", "train.epochs=1", "model.widths=[24]", "--seed", seed, "-q"]
        assert main([*words, "--runs", str(folder)]) == 0
    return folder


def command(folder, *words):
    return main(["efficiency", *words, "--runs", str(folder), "-q"])


def test_a_network_is_a_logged_run_with_its_page(folder, capsys):
    assert command(folder, "digits_mlp", "train.epochs=1", "model.widths=[24]", "seed=0") == 0
    printed = capsys.readouterr().out
    assert "encoder.fc1" in printed
    assert "compression potential" in printed
    with runs.open(str(folder / "ndg.db"), local=folder) as log:
        [record] = log.find({"kind": "efficiency"})
    assert record["status"] == "COMPLETED"
    assert len(record.figure("results.efficiency.rows")) == 4
    names = {entry["path"] for entry in record["artefacts"]}
    assert {"efficiency.csv", "report.html", "importance.svg", "layers.svg", "sensitivity.svg", "pathways.svg"} <= names
    page = (record.folder / "report.html").read_text()
    assert page.count("<svg") == 4
    assert "Strongest paths" in page
    text = page[page.index("<svg") :]
    identifiers = [part.split('"')[0] for part in text.split('id="')[1:]]
    assert len(identifiers) == len(set(identifiers))
    for name in names:
        if name.endswith(".svg"):
            ElementTree.parse(record.folder / name)


def test_two_networks_are_compared(folder, capsys):
    assert command(folder, "digits_mlp", "train.epochs=1", "model.widths=[24]", "--seeds", "0", "1", "--json") == 0
    first, second, both = json.loads(capsys.readouterr().out)
    assert len(first["rows"]) == len(second["rows"]) == len(both["rows"]) == 4
    assert len(both["networks"]) == 2
    assert "Two networks side by side" in (folder / second["run"] / "report.html").read_text(encoding="utf-8")


def test_the_table_is_printed_as_csv(folder, capsys):
    words = ["digits_mlp", "train.epochs=1", "model.widths=[24]", "seed=0", "--layers", "encoder.*", "--csv"]
    assert command(folder, *words, "--importance", "magnitude", "taylor") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["layer"] for row in rows} == {"encoder.fc1", "encoder.pre"}
    assert {row["importance"] for row in rows} == {"magnitude", "taylor"}
    assert all(0 < float(row["utilisation"]) <= 1 for row in rows)


def test_a_network_of_ones_own_needs_no_layers(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(OWN)
    assert command(tmp_path / "runs", "--model", f"{tmp_path / 'mine.py'}:make", "--json") == 0
    [document] = json.loads(capsys.readouterr().out)
    assert [row["layer"] for row in document["rows"]] == ["0", "2"]
    assert document["paths"]


def test_recommendations_are_carried_out(folder, capsys):
    words = ["digits_mlp", "train.epochs=1", "model.widths=[24]", "seed=0", "--apply", "--json"]
    assert command(folder, *words) == 0
    [document] = json.loads(capsys.readouterr().out)
    original, smaller = document["applied"]["rows"]
    wanted = {row["layer"]: row["remove"] for row in document["recommendations"]}
    removed = {row["layer"]: row["units"] for row in document["applied"]["removed"]}
    assert removed
    assert all(abs(wanted[layer] - count) <= 1 for layer, count in removed.items())
    assert smaller["flops"] < original["flops"]
    assert smaller["parameters"] < original["parameters"]
    assert original["agreement"] == 1
    assert smaller["agreement"] > 0.8
    with runs.open(str(folder / "ndg.db"), local=folder) as log:
        record = log.get(document["run"])
    assert (record.folder / "smaller" / "network.pt2").is_file()


def test_mistakes_are_named(folder, capsys):
    assert command(folder) == 2
    assert "needs a network" in capsys.readouterr().err
    words = ["digits_mlp", "train.epochs=1", "model.widths=[24]", "seed=0"]
    before = len(list(folder.glob("*-efficiency-*")))
    assert command(folder, *words, "--layers", "latent") == 2
    assert "'latent' (Sigmoid) has none" in capsys.readouterr().err
    assert command(folder, *words, "--importance", "size") == 2
    assert "got 'size'" in capsys.readouterr().err
    assert len(list(folder.glob("*-efficiency-*"))) == before
