"""`ndg compress`: a logged run with its page and a smaller network; budgets that cannot be met."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from ndg import runs
from ndg.cli import main
from ndg.workflows.smaller import Bench

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
    page = (record.folder / "report.html").read_text()
    assert "before and after" in page
    assert "beside controls" in page


def test_controls_of_the_same_size_stand_beside_the_result(folder, capsys):
    assert command(folder, "--units", "0.5") == 0
    assert "untrained" in capsys.readouterr().out
    with runs.open(str(folder / "ndg.db"), local=folder) as log:
        record = log.get("last", kind="compress")
    rows = {row["network"]: row for row in record.figure("results.compress.networks")}
    assert list(rows) == ["original", "compressed", "without repair", "magnitude", "random", "untrained"]
    assert rows["original"]["agreement"] == rows["original"]["r2"] == 1
    sizes = {row["parameters"] for name, row in rows.items() if name != "original"}
    assert len(sizes) == 1
    assert sizes.pop() < rows["original"]["parameters"]
    assert {row["n"] for row in rows.values()} == {359}
    assert len((record.folder / "networks.csv").read_text().splitlines()) == 7


def test_rivals_stand_with_and_without_repair_and_the_graph_of_the_alignment_labels_the_units(folder, capsys):
    align = ["align", "digits_mlp", "train.epochs=1", "model.widths=[24]", "seed=0", "trial.interventions=[]"]
    assert main([*align, "importance.methods=[]", "--layers", "encoder.fc1", "--runs", str(folder), "-q"]) == 0
    assert command(folder, "--units", "0.5", "--rivals", "interpolative", "torch-pruning-magnitude") == 0
    with runs.open(str(folder / "ndg.db"), local=folder) as log:
        record, aligned = log.get("last", kind="compress"), log.get("last", kind="align")
    result = record.figure("results.compress")
    assert [row["network"] for row in result["networks"]][3:5] == ["interpolative", "interpolative without repair"]
    digest = aligned.figure("results.graph.digest")
    assert result["graph"] == {"digest": digest, "run": aligned.id, "layers": ["encoder.fc1"]}
    left_out = [row["method"] for row in result["left_out"]]
    assert left_out == ([] if find_spec("torch_pruning") else ["torch-pruning-magnitude"])
    assert "are labelled by the graph" in (record.folder / "report.html").read_text()
    words = ["compress", aligned.id, "--layers", "decoder.fc1", "--runs", str(folder), "-q"]
    assert main(words) == 2
    assert "a graph explains units of layers that are compressed (decoder.fc1)" in capsys.readouterr().err


def test_a_network_runs_in_a_process_without_the_toolkit(folder, tmp_path):
    assert command(folder, "--agreement", "0.9", "--out", str(tmp_path / "alone")) == 0
    code = (
        "import sys, torch; network = torch.export.load(sys.argv[1]).module();"
        "print(network(torch.rand(5, 1, 8, 8)).shape, 'ndg' in sys.modules)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "alone" / "network.pt2")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "torch.Size([5, 10]) False\n"


OWN = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 3))
    inputs = torch.randn(200, 4)
    with torch.no_grad():
        network[2].bias.sub_(network(inputs).mean(dim=0))
    labels = torch.arange(200) % 3
    return network, {"train": [(inputs[:150], labels[:150])], "test": [(inputs[150:], labels[150:])]}
"""


def test_a_network_of_ones_own_is_compressed(tmp_path, capsys):
    (tmp_path / "own.py").write_text(OWN)
    words = [
        "--model",
        f"{tmp_path / 'own.py'}:make",
        "--units",
        "0.3",
        "--no-repair",
        "--runs",
        str(tmp_path / "runs"),
    ]
    assert main(["compress", *words, "-q"]) == 0
    assert "compressed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--units", "1.5"], "units must be a share"),
        (["--layers", "nosuch"], "nosuch"),
        (["--out", "/dev/null/small"], "/dev/null/small cannot be written"),
    ],
)
def test_mistakes_are_named_before_a_run_is_started(folder, capsys, words, message):
    before = len(list(folder.glob("*-compress-*")))
    assert command(folder, *words) in (1, 2)
    assert message in capsys.readouterr().err
    assert len(list(folder.glob("*-compress-*"))) == before


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


def test_an_interrupted_comparison_goes_on_with_its_finished_rows(folder, capsys, monkeypatch):
    measure, calls = Bench.measure, []

    def stopped(bench, network):
        calls.append(network)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return measure(bench, network)

    words = ["--units", "0.4", "--rivals", "variance"]
    monkeypatch.setattr(Bench, "measure", stopped)
    assert command(folder, *words) == 130
    assert command(folder, *words, "--resume") == 0
    with runs.open(str(folder / "ndg.db"), local=folder) as log:
        record = log.get("last", kind="compress")
        cut = log.find({"kind": "compress", "status": "INTERRUPTED"})
    rows = record.figure("results.compress.networks")
    assert [row["network"] for row in rows] == [
        *("original", "compressed", "without repair", "variance", "variance without repair", "untrained")
    ]
    assert rows[0]["latency"] == 1
    assert all(row["latency"] > 0 for row in rows)
    assert len(cut) == 1
    assert len(calls) == 5 + 2
    assert not list((folder / "unfinished").iterdir())
    assert command(folder, *words, "--resume") == 2
    assert "there is no unfinished compression" in capsys.readouterr().err
