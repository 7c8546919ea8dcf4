"""Files of the first version are read as they were written."""

import csv
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

import ndg
from ndg.cli import main

HERE = Path(__file__).parent / "first_version"
TRAIN, ALIGN = "20261130-224259-digits_mlp-train-bb17", "20261130-224318-digits_mlp-align-87fa"


@pytest.fixture
def folder(tmp_path):
    with tarfile.open(HERE / "runs.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "runs"


def figures(record):
    """The figures of a run that its user reads."""
    return {key: record[key] for key in ("kind", "name", "status", "config", "results")}


def test_bits_and_graphs():
    bits, graph = ndg.BitMatrix.open(HERE / "bits.ndgb"), ndg.NDG.load(HERE / "graph.json")
    assert (bits.to_bool() == np.load(HERE / "bits.npy")).all()
    assert (bits.digest, graph.digest) == ("c9128b4a2ea9c049", "e6f2dccf7275359f")
    assert ndg.mine(bits, "paper", alpha=2).digest == graph.digest
    assert len(graph.edges_frame()) == 18


def test_a_run_log_before_and_after_it_is_written(folder):
    written = {name: json.loads((folder / name / "record.json").read_text()) for name in (TRAIN, ALIGN)}
    for edit in (False, True):
        with ndg.runs.open(str(folder / "ndg.db"), local=folder) as log:
            if edit:
                log.tag(ALIGN, "kept")
            records = {record.id: record for record in log.find({})}
            assert {name: figures(record) for name, record in records.items()} == {
                name: figures(document) for name, document in written.items()
            }
            [best] = log.find({"results.train.test_accuracy": {"$lt": 0.2}})
            assert best.id == TRAIN
            assert [row["epoch"] for row in log.get(TRAIN)["metrics"]] == [1, 2, 3]
    assert records[ALIGN]["tags"] == ["kept"]


def test_a_trained_network_and_its_config(folder):
    model, experiment = ndg.load_model(folder / TRAIN)
    assert experiment.model.widths == [16]
    assert ndg.config.load(folder / TRAIN / "config.yaml") == experiment
    splits = ndg.data.load(experiment.data)
    right = [(model(inputs).argmax(dim=1) == labels).double() for inputs, labels in splits.test.loader()]
    record = json.loads((folder / TRAIN / "record.json").read_text())
    assert float(np.concatenate(right).mean()) == pytest.approx(record["results"]["train"]["test_accuracy"])


def test_a_config_is_read_by_its_schema(folder):
    text = (folder / TRAIN / "config.yaml").read_text()
    experiment = ndg.config.load(folder / TRAIN / "config.yaml")
    record = json.loads((folder / TRAIN / "record.json").read_text())
    assert (experiment.digest, experiment.training_digest) == (record["digest"], record["training_digest"])
    early = folder / "early.yaml"
    early.write_text(text.replace("  n_steps: 50", "  steps: 50"))
    assert "\n  steps: 50" in early.read_text()
    assert (
        ndg.config.load(early) == ndg.config.load(folder / TRAIN / "config.yaml", ["importance.steps=50"]) == experiment
    )
    written = experiment.to_yaml()
    assert written.startswith("schema: 2\nname: digits_mlp\n")
    early.write_text(written)
    assert ndg.config.load(early) == experiment
    for change, message in (
        (
            ("schema: 2", "schema: 3"),
            r"reads configs of schema 1 to 2; .*early.yaml has schema 3; use the version of ndg",
        ),
        (("schema: 2", "schema: new"), "schema must be a whole number; got 'new'"),
        (("  n_steps: 50", "  steps: 50"), r"no key 'importance\.steps' in a config; nearest: importance\.n_steps"),
    ):
        early.write_text(written.replace(*change))
        with pytest.raises(ndg.errors.ConfigError, match=message):
            ndg.config.load(early)


def test_an_alignment_is_shown_and_drawn(folder, capsys):
    assert main(["show", ALIGN, "--runs", str(folder)]) == 0
    assert main(["explore", ALIGN, "--runs", str(folder), "--out", str(folder / "page.html")]) == 0
    assert "Traceback" not in capsys.readouterr().err
    with (folder / ALIGN / "edges.csv").open() as file:
        edges = list(csv.DictReader(file))
    assert len(ndg.NDG.load(folder / ALIGN / "ndg.json").edges_frame()) == len(edges) > 0
