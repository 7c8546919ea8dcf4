"""The table of trainings says what ran, and how; those about importance print from a run and write their figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import (
    apoptosis_table,
    filter_experiment,
    fitness_table,
    gndi_table,
    layer_table,
    pruning_curves,
    subjects,
    trainings,
)
from ndg import config, runs
from ndg.cli import main
from tests.scripts import run_module

pytestmark = pytest.mark.slow

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


def test_it_prints_markdown(folder, monkeypatch, capsys):
    words = ["--markdown", "--runs", str(folder)]
    command = [sys.executable, "-m", "analysis.trainings", *words]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = printed.splitlines()
    assert lines[0].startswith("| config | network | changed from the config | test accuracy [95 %] |")
    assert sum(line.startswith("| digits_mlp |") and "| train.epochs=2 |" in line for line in lines) == 1
    narrowed = [*words, "--where", json.dumps({"config.seed": 99})]
    assert run_module("analysis.trainings", narrowed, monkeypatch) == 0
    assert "| digits_mlp | – | not run |" in capsys.readouterr().out


@pytest.fixture(scope="module")
def convolutions(folder):
    """The same log with a short training of a convolution network."""
    assert main(["train", "digits_cnn", "train.epochs=1", "--runs", str(folder), "-q"]) == 0
    return folder


def printed(script, folder, capsys, *more):
    """What a script about importance prints of one run, and the figures that it writes."""
    figures = folder / "figures.json"
    words = ["--quick", "--runs", str(folder), "--json", str(figures), "--configs", *more]
    assert subjects.main("table", script.work, script.CONFIGS, words, getattr(script, "add", None)) == 0
    return capsys.readouterr().out, json.loads(figures.read_text())


def test_whole_layers_stand_beside_their_damage(folder, capsys):
    text, figures = printed(layer_table, folder, capsys, "digits_mlp")
    assert text.startswith("whole layers\n")
    assert {row["weights"] for row in figures["rows"]} == {"trained", "random weights"}
    last = [row for row in figures["rows"] if row["layer"] == "decoder.fc1"]
    for row in last:  # what follows is linear where no unit stands at a kink
        assert row["n"] == 60
        assert row["shift_low"] < row["shift"] < row["shift_high"]
    assert [row["layers"] for row in figures["summary"]] == [3, 3]


def test_sampled_channels_stand_beside_the_published_figures(convolutions, capsys):
    text, figures = printed(gndi_table, convolutions, capsys, "digits_cnn", "--methods", "gndi", "magnitude")
    assert text.startswith("scores of sampled channels against exact ablation\n")
    found = {(row["weights"], row["score"]): row for row in figures["rows"]}
    assert set(found) == {(w, s) for w in ("untrained", "trained") for s in ("gndi", "magnitude", "layer mean")}
    assert {row["n"] for row in found.values()} == {24}
    assert found["untrained", "gndi"]["spearman"]["value"] > 0.9
    assert "0.981" not in text  # the network is no ResNet-18


def test_damages_of_sampled_channels_are_those_of_ablation(convolutions):
    import numpy as np

    import ndg
    from ndg.importance.score import score

    model = ndg.models.build(ndg.config.load(config.configs()["digits_cnn"]).model, (1, 8, 8), 10, 0)
    loader = [torch_images()]
    channels = gndi_table.sampled(model, loader, [], 9, 0)
    assert sum(map(len, channels.values())) == 9
    truth = score(model, loader, tuple(channels), "ablation", options=ndg.RunOptions(batch=256))
    found = gndi_table.damages(model, loader, channels)
    for layer, units in channels.items():
        np.testing.assert_allclose(found[layer], truth[layer][units], rtol=1e-6)


def torch_images():
    import torch

    return torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_filters_are_correlated_and_probed(convolutions, capsys):
    text, figures = printed(filter_experiment, convolutions, capsys, "digits_cnn", "--methods", "gndi", "ablation")
    assert "a linear classifier on the best filters" in text
    (one,) = figures["experiments"]
    assert one["layer"] == "encoder.conv2"
    assert {row["method"]: row["pearson"] for row in one["drop"]}["ablation"] == pytest.approx(1)
    assert one["probe"][-1]["method"] == "all filters"


def test_units_are_pruned_by_each_score(folder, capsys):
    text, figures = printed(pruning_curves, folder, capsys, "digits_mlp", "--methods", "magnitude", "ablation")
    assert text.startswith("pruning\n")
    assert "group ablation" in text
    assert [row["method"] for row in figures["pruning"]] == ["none", "magnitude", "magnitude", "ablation", "ablation"]
    assert all(row["tuned"] is not None and row["n"] == 60 for row in figures["pruning"])


def test_without_such_a_run_a_script_says_how_to_train_it(folder, capsys):
    assert subjects.main("t", layer_table.work, ("digits_vit",), ["--runs", str(folder)]) != 0
    assert "ndg train digits_vit seed=0" in capsys.readouterr().err


def test_fitness_metrics_and_apoptosis_are_measured_in_tables(tmp_path, monkeypatch, capsys):
    for name, size in (("BATCH", 64), ("BATCHES", 2), ("STAGES", 2), ("TIMED", 1)):
        monkeypatch.setattr(fitness_table, name, size)
    monkeypatch.setattr(apoptosis_table, "TUNING", 1)
    narrow = tmp_path / "digits_mlp.yaml"
    narrow.write_text(config.find("digits_mlp").read_text().replace("widths: [512]", "widths: [32]"))
    assert config.load(narrow).model.widths == [32]
    monkeypatch.setattr(config, "configs", lambda: {"digits_mlp": narrow})
    for table, rows in ((fitness_table, 22), (apoptosis_table, 8)):
        name = table.__name__.rpartition(".")[2]
        words = ["--quick", "--configs", "digits_mlp", "--seeds", "0", "--folder", str(tmp_path / name)]
        words += ["--json", str(tmp_path / f"{name}.json")]
        assert table.main(words) == 0
        document = json.loads((tmp_path / f"{name}.json").read_text())
        assert len(document["rows"]) == rows
        assert {row["config"] for row in document["rows"]} == {"digits_mlp"}
        assert document["note"][:40] in " ".join(capsys.readouterr().out.split())
    during, after = (
        [row for row in document["rows"] if row["when"] == when] for when in ("in training", "after training")
    )
    assert [row["gone"] for row in during] == [row["gone"] for row in after]


def test_units_serve_one_sentiment_or_both():
    import numpy as np

    from analysis.sentiment_experiment import division

    values = np.array([[1.0, 0.5, 0.0, -3.0], [2.0, -0.5, 0.0, 0.3]])
    assert division(values) == {
        "sentences": 2,
        "units": 3,
        "median_share": pytest.approx(3 / 3.3),
        "one_sentiment": 2,
        "positive": 1,
        "negative": 1,
    }


def test_words_of_a_unit_are_those_of_its_conductance():
    import torch

    from analysis.sentiment_experiment import divided, rows_of, strongest_words
    from ndg.config.networks import Bert
    from ndg.data.inputs import TEXT, Form
    from ndg.models import build

    model = build(Bert(width=8, depth=1, heads=2, mlp=16, latent=4, dropout=0.0), Form(TEXT, (4,), 12, 0), 2, 0)
    ids = torch.tensor([[1, 5, 6, 0], [1, 7, 6, 5]])
    columns = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    sentences = rows_of((columns, torch.tensor([1, 0])))
    assert [inputs["input_ids"].tolist() for inputs, _ in sentences] == [[[1, 5, 6]], [[1, 7, 6, 5]]]
    assert [
        inputs["attention_mask"].numel() for inputs, _ in rows_of(columns | {"labels": ids[:, 0], "index": ids[:, 0]})
    ] == [3, 4]
    shares = divided(model, sentences, model.latent_layer, 4, 1)
    assert shares.shape == (2, 4)

    names = {0: "[PAD]", 1: "[CLS]", 5: " good", 6: " bad", 7: " rare"}
    found = strongest_words(
        model, sentences, model.latent_layer, [0, 2], lambda tokens: [names[token] for token in tokens], 4
    )
    assert {word for word, _ in found[0]} == {"good", "bad"}  # twice each; a word of one sentence is left out
    assert list(found) == [0, 2]
