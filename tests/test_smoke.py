"""Smoke runs of configs from nothing at hand to a report: images, texts, and parts of images."""

import json

import pytest

from ndg.cli import main

pytestmark = pytest.mark.slow

LESS = [
    *("importance.n_steps=5", "trial.minimal=20", "trial.pool=256", "trial.draws=1"),
    *("trial.graphs=[shuffled_labels]", "report.max_nodes=40"),
]
"""Fewer steps, draws and controls than by default: other tests have them all."""


@pytest.mark.parametrize("name", ["mnist_even_cnn", "sst2_distilbert", "cub200_transfg"])
def test_a_smoke_run_trains_and_aligns_on_generated_files(name, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("NDG_DATA", raising=False)
    options = ["--smoke", "--runs", str(tmp_path), "--json"]
    assert main(["train", name, *options]) == 0
    out, err = capsys.readouterr()
    assert "are missing; this run uses generated files in" in err
    trained = json.loads(out)[0]
    assert trained["status"] == "COMPLETED"
    assert trained["name"] == f"{name}-smoke"
    figures, data = trained["results"]["train"], trained["results"]["data"]
    assert "publisher's files" in data["source"] or "no published sum" in data["source"]
    if name != "cub200_transfg":  # 200 classes ask for more than a minute
        assert figures["test_accuracy"] > 0.9
    kept = {path.name for path in (tmp_path / trained["_id"]).iterdir()}
    assert {"config.yaml", "log.txt", "metrics.csv", "model.safetensors"} <= kept
    assert ("tokenizer.json" in kept) == (name == "sst2_distilbert")

    assert main(["align", name, *LESS, "--executor", "serial", *options]) == 0
    aligned = json.loads(capsys.readouterr().out)[0]
    assert aligned["parent"] == trained["_id"]
    assert aligned["status"] == "COMPLETED"
    assert aligned["results"]["data"]["digest"] == data["digest"]
    assert aligned["results"]["accuracy"]["test"]["rate"] == figures["test_accuracy"]
    assert aligned["results"]["graph"]["implications"] > 0
    assert (tmp_path / aligned["_id"] / "report.html").is_file()
    assert (tmp_path / aligned["_id"] / "ndg.pdf").read_bytes().startswith(b"%PDF")
