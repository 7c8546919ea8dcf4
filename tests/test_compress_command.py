"""`ndg compress`: a logged run with its page and a smaller network; budgets that cannot be met."""

from __future__ import annotations

import json

import pytest
import torch

from ndg import runs
from ndg.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    words = ["train", "digits_mlp", "train.epochs=1", "model.widths=[24]", "--seed", "0", "-q"]
    assert main([*words, "--runs", str(folder)]) == 0
    return folder


def command(folder, *words):
    trained = ["digits_mlp", "train.epochs=1", "model.widths=[24]", "seed=0"]
    return main(["compress", *trained, *words, "--runs", str(folder), "-q"])


def test_a_compression_is_a_logged_run_with_its_network(folder, capsys):
    assert command(folder, "--units", "0.3") == 0
    printed = capsys.readouterr().out
    assert "units removed by obs: predictions agree on" in printed
    assert "of the test split the predictions agree on" in " ".join(printed.split())
    with runs.open(str(folder / "ndg.db"), local=folder) as log:
        [record] = log.find({"kind": "compress"})
    assert record["status"] == "COMPLETED"
    names = {entry["path"] for entry in record["artefacts"]}
    assert {"removed.csv", "report.html", "network/network.pt2", "network/weights.safetensors"} <= names
    program = torch.export.load(record.folder / "network" / "network.pt2").module()
    assert program(torch.rand(5, 1, 8, 8)).shape == (5, 10)
    assert "before and after" in (record.folder / "report.html").read_text()


def test_the_network_lies_in_the_folder_that_is_asked_for(folder, tmp_path, capsys):
    assert command(folder, "--flops", "0.8", "--out", str(tmp_path / "small"), "--json") == 0
    [document] = json.loads(capsys.readouterr().out)
    stages = document["stages"]
    assert stages["compressed"]["flops"] <= 0.8 * stages["original"]["flops"]
    assert (tmp_path / "small" / "network.pt2").is_file()


def test_a_budget_that_cannot_be_met_ends_in_a_message_and_no_run(folder, capsys):
    with runs.open(str(folder / "ndg.db"), local=folder) as log:
        before = len(log.find({"kind": "compress"}))
    assert command(folder, "--units", "0.99") == 2
    assert "every layer keeps 2 units" in capsys.readouterr().err
    with runs.open(str(folder / "ndg.db"), local=folder) as log:
        assert len(log.find({"kind": "compress"})) == before
