"""The table of trainings says what ran, how it differed from its config, and what never ran."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import trainings
from ndg import config, runs
from ndg.cli import main

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The log of one short training."""
    folder = tmp_path_factory.mktemp("runs")
    assert main(["train", "digits_mlp", "train.epochs=2", "--runs", str(folder), "-q"]) == 0
    return folder


def test_a_training_stands_beside_its_paper_and_the_others_were_not_run(folder):
    with runs.open(str(folder / "ndg.db"), local=folder) as log:
        records = log.find({"kind": "train"})
    table = trainings.table(records)
    keys = list(trainings.COLUMNS)
    rows = {row[0]: dict(zip(keys, row, strict=True)) for row in table.rows}
    assert set(rows) == set(config.configs())
    ran = rows.pop("digits_mlp")
    assert {row["changed"] for row in rows.values()} == {"not run"}
    assert rows["cub200_transfg"]["paper"] == 0.917
    assert ran["changed"] == "train.epochs=2"
    assert ran["n"] == 359
    assert ran["test"].low < ran["test"].value < ran["test"].high
    assert ran["test"].value == records[0].figure("results.train.test_accuracy")
    assert ran["peak"] > 50


def test_it_prints_markdown(folder):
    command = [sys.executable, "-m", "analysis.trainings", "--markdown", "--runs", str(folder)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = printed.splitlines()
    assert lines[0].startswith("| config | network | changed from the config | test accuracy [95 %] |")
    assert sum(line.startswith("| digits_mlp |") and "| train.epochs=2 |" in line for line in lines) == 1
    narrowed = [*command, "--where", json.dumps({"config.seed": 99})]
    printed = subprocess.run(narrowed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "| digits_mlp | – | not run |" in printed
