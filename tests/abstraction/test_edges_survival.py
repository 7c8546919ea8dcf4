"""The table of what makes edges survive: what is counted for a run, and what is pooled over runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import ndg
from analysis import edge_survival as survival
from ndg.abstraction.edges import try_edges
from ndg.cli import main
from ndg.errors import LayerError
from ndg.intervals import wilson

pytestmark = pytest.mark.slow

FACTORS = ["antecedent set", "alpha", "value written", "interventional training", *survival.BY]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The log of one short training of a small network."""
    folder = tmp_path_factory.mktemp("runs")
    words = [
        "train",
        "digits_mlp",
        "train.epochs=3",
        "model.widths=[24]",
        "model.latent=8",
        "--runs",
        str(folder),
        "-q",
    ]
    assert main([*words, "seed=3", "--runs", str(folder), "-q"]) == 0
    return folder


def test_one_command_writes_the_table_and_the_counts(folder, tmp_path, capsys):
    words = ["--configs", "digits_mlp", "--seeds", "3", "--alphas", "5", "--runs", str(folder)]
    assert survival.main([*words, "--json", str(tmp_path / "rows.json"), "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("| factor | level | network | survival [95 %] | over seeds |")
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert list(dict.fromkeys(row["factor"] for row in rows)) == FACTORS
    by = {(row["factor"], row["level"]): row for row in rows}
    base = by["antecedent set", "closure"]
    assert by["alpha", "10"] | {"factor": "", "level": ""} == base | {"factor": "", "level": ""}
    for factor in survival.BY:
        for name in survival.TALLIES:
            assert sum(row[name] for row in rows if row["factor"] == factor) == base[name]
    assert base["tested"] > base["survived"] >= 0
    assert by["antecedent set", "alone"]["before"] == base["before"]
    (run,) = survival.chosen([str(_run(folder))], [], [], survival.Locations.choose(runs=str(folder)))
    opened = survival.opened(run[1], survival.Locations.choose(runs=str(folder)))
    train, test = (opened.splits[name].loader(100) for name in ("train", "test"))
    graph = ndg.mine(ndg.extract(opened.model, train, layers=["latent", "decoder.relu1"]), alpha=10)
    trials = try_edges(
        opened.model,
        graph,
        test,
        fit=train,
        settings=ndg.EdgeSettings(how=["closure"]),
        options=ndg.RunOptions(executor="serial"),
    )
    assert trials.survived("closure") == (base["survived"], base["tested"])


def _run(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.is_dir())


def test_seeds_are_pooled_and_their_range_stands_beside():
    names = {"factor": "alpha", "level": "5", "network": "net"}
    few = {"tested": 10, "survived": 1, "untested": 2, "n": 100, "before": 10, "after": 60}
    few |= {"n_false": 90, "gained": 51, "survived_all": 2}
    many = {"tested": 30, "survived": 15, "untested": 0, "n": 300, "before": 30, "after": 240}
    many |= {"n_false": 270, "gained": 210, "survived_all": 20}
    none = dict.fromkeys(few, 0)
    table = survival.table(
        [{**names, "seed": 0, **few}, {**names, "seed": 1, **many}, {**names, "level": "50", "seed": 0, **none}]
    )
    rows = [dict(zip(survival.COLUMNS, row, strict=True)) for row in table.rows]
    pooled = rows[0]
    low, high = wilson(16, 40)
    assert (pooled["survival"].value, pooled["survival"].low, pooled["survival"].high) == (0.4, float(low), float(high))
    assert pooled["range"] == "0.100 to 0.500 (2)"
    assert (pooled["tested"], pooled["untested"], pooled["after"], pooled["before"]) == (40, 2, 0.75, 0.1)
    assert (pooled["turned"], pooled["inflation"]) == (261 / 360, 0.75 - 261 / 360)
    assert pooled["survived_all"] == 22
    assert [rows[1][name] for name in ("survival", "range", "after")] == [None, None, None]


def test_what_is_not_there_is_said(tmp_path, capsys):
    assert survival.main(["--configs", "digits_mlp", "--seeds", "7", "--runs", str(tmp_path)]) == 2
    assert "no completed training of digits_mlp with seed 7; train it, as in `ndg train" in capsys.readouterr().err
    assert survival.main(["--runs", str(tmp_path)]) == 2
    assert "no completed training of digits_mlp with seed 0" in capsys.readouterr().err
    net = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2))
    net.latent_layer = "1"
    with pytest.raises(LayerError, match="must be followed by activations with one value per unit; got"):
        survival.later_layers(net, [torch.zeros(2, 3)])
