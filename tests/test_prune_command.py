"""`ndg prune`: a logged run with the pruned network, its tables and its controls; nothing is lost by a mistake."""

from __future__ import annotations

import csv
import json

import pytest
import torch

import ndg
from ndg import runs
from ndg.cli import main
from ndg.workflows import prune as prune_workflow

SMALL = ["digits_mlp", "train.epochs=2", "model.widths=[16]", "model.latent=6", "data.limit=300"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The log of one short training."""
    folder = tmp_path_factory.mktemp("runs")
    assert main(["train", *SMALL, "--runs", str(folder), "-q"]) == 0
    return folder


def prune(folder, *words):
    return main(["prune", *SMALL, "--runs", str(folder), "-q", *words])


def logged(folder, kind):
    with runs.open(str(folder / "ndg.db"), local=folder) as log:
        return log.find({"kind": kind})


@pytest.mark.parametrize("words", [["--method", "magnitude"], ["--unstructured", "--scope", "each"]])
def test_a_pruning_is_a_run_with_its_network_and_tables(words, folder, capsys):
    assert prune(folder, "--share", "0.5", "--steps", "2", *words) == 0
    out = capsys.readouterr().out
    assert "the last networks" in out
    assert "random" in out
    [record, *_] = logged(folder, "prune")
    [parent] = logged(folder, "train")
    assert record["parent"] == parent.id
    assert record["status"] == "COMPLETED"
    final = record.figure("results.prune.final")
    assert [row["method"] for row in final] == ["magnitude", "random", "none"]
    assert {row["n"] for row in final} == {record.figure("results.data.examples.test")}
    assert [row["kept_epoch"] in (0, 1) for row in record["metrics"]] == [True] * 6
    with (record.folder / "prune.csv").open() as file:
        steps = list(csv.DictReader(file))
    assert [float(row["share"]) for row in steps[:2]] == [0.4375, 0.5]
    network, _ = ndg.load_model(record.folder)
    weights = [value for name, value in network.named_parameters() if name.endswith("weight")]
    if "--unstructured" in words:
        assert network.encoder.fc1.out_features == 16
        assert all(int((value == 0).sum()) == value.numel() // 2 for value in weights)
    else:
        assert [network.encoder.fc1.out_features, network.encoder.pre.out_features] == [8, 3]
        assert record.figure("results.prune.removed")[0]["layer"] == "encoder.fc1"
    assert "results" in json.dumps(record)
    assert "Pruning of digits_mlp" in (record.folder / "report.html").read_text(encoding="utf-8")
    assert sum(value.numel() for value in network.parameters()) >= final[0]["parameters"]
    assert all(torch.isfinite(value).all() for value in network.parameters())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "taylr"], "known method of importance; got 'taylr'"),
        (["--share", "1"], "a share inside (0, 1)"),
        (["--share", "-0.1"], "a share inside (0, 1)"),
        (["--share", "0.9"], "leaves 1 of 6 in 'encoder.pre'"),
        (["--layers", "encoder.fc9"], "nearest: encoder.fc1"),
        (["--share", "1e-7", "--unstructured"], "a pruning takes at least one weight; share=1e-07 is less than one of"),
        (["--steps", "0"], "in at least 1 step"),
    ],
)
def test_a_mistake_starts_no_run_and_leaves_the_training_as_it_was(words, message, folder, capsys):
    [parent] = logged(folder, "train")
    before = (parent.folder / "model.safetensors").read_bytes()
    known = [record.id for record in logged(folder, "prune")]
    assert prune(folder, *words) == 2
    assert message in capsys.readouterr().err
    assert [record.id for record in logged(folder, "prune")] == known
    assert (parent.folder / "model.safetensors").read_bytes() == before


def test_an_interrupted_pruning_goes_on(folder, monkeypatch, capsys):
    words = ["--share", "0.25", "--steps", "2", "--draws", "0"]
    assert prune(folder, *words) == 0
    [whole, *_] = logged(folder, "prune")
    before, log = prune_workflow._Steps.__call__, []

    def stopped(steps, row):
        before(steps, row)
        log.append(row)
        if len(log) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(prune_workflow._Steps, "__call__", stopped)
    assert prune(folder, *words) == 130
    assert prune(folder, *words, "--resume") == 0
    [record, *_] = logged(folder, "prune")
    assert record.figure("results.prune") == whole.figure("results.prune")
    assert record["metrics"] == whole["metrics"]
    assert len(log) == 1 + 4
    assert prune(folder, *words, "--resume") == 2
    assert "start another without --resume" in capsys.readouterr().err


def test_a_command_without_a_network_is_refused(folder, capsys):
    assert main(["prune", "--runs", str(folder)]) == 2
    assert "needs a trained network: a config or a train run" in capsys.readouterr().err
