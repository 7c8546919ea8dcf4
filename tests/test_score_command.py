"""`ndg score`: what it logs, annotates, prints and refuses; scores of an alignment; pictures by scores."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

import ndg
from analysis import importance_scoreboard
from ndg import config, data, runs
from ndg.cli import main
from ndg.errors import GraphError
from ndg.graph.top_scored import foremost, top
from ndg.importance.graph_scores import ancestors, degree
from ndg.importance.scores import Scores
from ndg.runs.record import RunRecord
from ndg.workflows import pictures
from ndg.workflows.score_request import weighted_layers

pytestmark = pytest.mark.slow

QUICK = ["train.epochs=6", "train.schedule=constant", "model.widths=[64]"]
PLAIN = ["trial.interventions=[]", "report.max_nodes=12"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Options for a folder of runs with a training and an alignment of it."""
    folder = tmp_path_factory.mktemp("runs")
    options = ["-q", "--runs", str(folder)]
    assert main(["train", "digits_mlp", *QUICK, *options]) == 0
    assert main(["align", "digits_mlp", *QUICK, *PLAIN, "importance.methods=[gndi]", *options]) == 0
    return folder, options


def newest(folder: Path, kind: str = "score") -> RunRecord:
    with runs.open(str(folder / "ndg.db")) as log:
        return log.get("last", kind)


def rows_of(record: RunRecord, name: str) -> list[dict[str, str]]:
    with (record.folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_several_methods_at_once_are_logged_and_stand_on_the_graph(home, capsys):
    folder, options = home
    methods = ["ablation", "activation", "ablation:measure=loss"]
    assert main(["score", "digits_mlp", *QUICK, "--method", *methods, *options]) == 0
    told = capsys.readouterr().out
    record, aligned = newest(folder), newest(folder, "align")
    assert (record["status"], record["parent"]) == ("COMPLETED", aligned["parent"])
    assert list(record["results"]["scores"]) == methods
    rows = rows_of(record, "scores.csv")
    assert {(row["layer"], row["method"]) for row in rows} == {("latent", method) for method in methods}
    assert len(rows) == 3 * 32
    graph = ndg.NDG.load(record.folder / "ndg.json")
    assert graph == ndg.NDG.load(aligned.folder / "ndg.json")
    assert set(graph.scores) == {"gndi", *methods}
    assert record["results"]["annotated"] == {
        "run": aligned.id,
        "digest": graph.digest,
        "methods": methods,
        "layers": ["latent"],
    }
    assert f"on the nodes of {aligned.id}" in told
    assert "ablation:measure=loss" in told
    assert (record.folder / "report.html").is_file()
    picture = folder / "foremost.svg"
    assert main(["render", "last", "--score", "ablation", "--top", "9", "--svg", str(picture), *options]) == 0
    assert "ablation" in picture.read_text()  # the newest graph is that of the scores
    model, _ = ndg.load_model(newest(folder, "train").folder)
    again = ndg.score(model, data.load(config.Data()).validation.loader(64), method="ablation")
    np.testing.assert_allclose(list(graph.scores["ablation"].values()), again["latent"])


def test_layers_target_and_examples_are_as_asked(home):
    folder, options = home
    asked = ["--layers", "decoder.relu1", "encoder.*pre", "--target", "3", "--max-examples", "40", "--split", "train"]
    assert main(["score", "digits_mlp", *QUICK, "--method", "gndi", *asked, *options]) == 0
    scores = newest(folder)["results"]["scores"]["gndi"]
    assert [row["layer"] for row in scores["layers"]] == ["decoder.relu1", "encoder.pre"]
    assert (scores["target"], scores["examples"], scores["split"]) == (3, 40, "train")
    assert "annotated" not in newest(folder)["results"]
    assert not (newest(folder).folder / "ndg.json").exists()


def test_an_align_run_may_be_named_and_json_is_the_document(home, capsys):
    folder, options = home
    aligned = newest(folder, "align")
    assert main(["score", aligned.id, "--method", "activation", "--json", *options]) == 0
    [document] = json.loads(capsys.readouterr().out)
    assert document["results"]["annotated"]["run"] == aligned.id
    assert main(["score", newest(folder).id, "--method", "activation", *options]) == 0  # a score run: its network
    assert newest(folder)["parent"] == aligned["parent"]


def test_all_methods_but_those_that_refuse(home):
    folder, options = home
    assert (
        main(
            ["score", "digits_mlp", *QUICK, "--method", "all", "--max-examples", "8", *options, "importance.n_steps=2"]
        )
        == 0
    )
    found = set(newest(folder)["results"]["scores"])
    assert {"gndi", "conductance", "ablation", "activation"} <= found
    assert "hrank" not in found


def test_the_scoreboard_is_logged_printed_and_on_the_page(home, capsys):
    folder, options = home
    asked = ["--method", "gndi", "--layers", "latent", "encoder.pre", "--scoreboard", "gndi", "activation", "hrank"]
    assert main(["score", "digits_mlp", *QUICK, *asked, "--max-examples", "40", *options]) == 0
    told = capsys.readouterr().out
    record = newest(folder)
    board = record["results"]["scoreboard"]
    assert set(board) == {"trained", "random"}
    rows = {row["method"]: row for row in board["trained"]["rows"]}
    assert rows["gndi"]["spearman_low"] <= rows["gndi"]["spearman"] <= rows["gndi"]["spearman_high"]
    assert rows["gndi"]["n"] == 64
    assert "channel" in rows["hrank"]["refused"]
    assert rows["gndi"]["spearman"] != board["random"]["rows"][0]["spearman"]
    assert len(rows_of(record, "scoreboard.csv")) == 10
    page = (record.folder / "report.html").read_text()
    for text in (told, page):
        assert "Scores against exact ablation" in text
        assert "random weights" in text
        assert "exact ablation disagree" in text


def test_a_scoreboard_without_layers_is_of_all_weighted_ones(home):
    folder, options = home
    asked = ["--method", "activation", "--scoreboard", "gndi", "magnitude", "--max-examples", "20"]
    assert main(["score", "digits_mlp", *QUICK, *asked, *options]) == 0
    results = newest(folder)["results"]
    assert [row["layer"] for row in results["scores"]["activation"]["layers"]] == ["latent"]
    rows = {row["method"]: row for row in results["scoreboard"]["trained"]["rows"]}
    layers = [row["layer"] for row in results["scoreboard"]["trained"]["layers"]["magnitude"]]
    assert layers == ["encoder.fc1", "encoder.pre", "decoder.fc1"]
    assert rows["magnitude"]["spearman_within"] is not None
    assert rows["gndi"]["n"] > 64


def test_what_a_graph_alone_says_stands_on_its_nodes(home, capsys):
    folder, options = home
    assert main(["score", "digits_mlp", *QUICK, "--method", "degree", "ancestors", *options]) == 0
    record = newest(folder)
    aligned = ndg.NDG.load(newest(folder, "align").folder / "ndg.json")
    graph = ndg.NDG.load(record.folder / "ndg.json")
    for name, scores in (("degree", degree(aligned)), ("ancestors", ancestors(aligned))):
        assert list(graph.scores[name].values()) == scores["latent"].tolist()
        assert record["results"]["scores"][name]["split"] == "train"
    assert sum(graph.scores["degree"].values()) > 0
    assert record["results"]["annotated"]["methods"] == ["degree", "ancestors"]
    assert "from the graph alone, mined from" in capsys.readouterr().out
    words = ["--method", "gndi", "degree", "--layers", "decoder.relu1", "--max-examples", "8"]
    assert main(["score", "digits_mlp", *QUICK, *words, *options]) == 0
    record = newest(folder)
    assert record["results"]["annotated"]["methods"] == ["degree"]  # gndi is of another layer
    assert record["results"]["annotated"]["layers"] == ["latent"]
    asked = ["importance.methods=[degree, activation]", "importance.max_examples=20"]
    assert main(["align", "digits_mlp", *QUICK, *PLAIN, *asked, *options]) == 0
    graph = ndg.NDG.load(newest(folder, "align").folder / "ndg.json")
    assert set(graph.scores) == {"degree", "activation"}
    np.testing.assert_array_equal(list(graph.scores["degree"].values()), degree(graph)["latent"])


def test_a_graphs_scores_need_a_graph(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(TOKENS)
    words = ["score", "--model", f"{tmp_path / 'mine.py'}:make", "--method", "degree"]
    assert main([*words, "-q", "--runs", str(tmp_path / "runs")]) == 2
    assert "degree was requested, and this network has no alignment" in capsys.readouterr().err


def test_an_alignment_scores_the_layers_asked_for_and_holds_the_scoreboard(home):
    folder, options = home
    asked = [
        "importance.methods=[activation]",
        "importance.layers=[latent, encoder.pre]",
        "importance.scoreboard=[activation]",
    ]
    assert main(["align", "digits_mlp", *QUICK, *PLAIN, *asked, *options]) == 0
    record = newest(folder, "align")
    assert [row["layer"] for row in record["results"]["scores"]["activation"]["layers"]] == ["latent", "encoder.pre"]
    assert record["results"]["scoreboard"]["trained"]["rows"][0]["method"] == "activation"
    assert set(ndg.NDG.load(record.folder / "ndg.json").scores) == {"activation"}
    assert "Scores against exact ablation" in (record.folder / "report.html").read_text()


TOKENS = """
import torch
from torch import nn

class Sentences(nn.Module):
    latent_layer = "act"
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.act, self.out = nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)
    def forward(self, x):
        return self.out(self.act(self.embed(x)).mean(1))

def make():
    torch.manual_seed(1)
    x, y = torch.randn(120, 5, 4), torch.randint(0, 2, (120,))
    return Sentences(), {"train": [(x[:80], y[:80])], "test": [(x[80:], y[80:])]}
"""


def test_units_of_tokens_are_scored_and_what_the_graph_reads_is_said(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(TOKENS)
    options = ["-q", "--runs", str(tmp_path / "runs")]
    own = ["--model", f"{tmp_path / 'mine.py'}:make"]
    assert main(["align", *own, *PLAIN, "criterion.alpha=1.5", "importance.methods=[gndi]", *options]) == 0
    record = newest(tmp_path / "runs", "align")
    found = record["results"]["scores"]["gndi"]
    assert found["tokens"] == [{"layer": "act", "graph": "the first token", "scored": "all tokens"}]
    assert len(found["layers"][0]["values"]) == 6
    assert "The graph reads the first token" in (record.folder / "report.html").read_text()
    assert main(["score", *own, "--method", "ablation", *options]) == 0
    scored = newest(tmp_path / "runs")
    assert scored["results"]["annotated"]["run"] == record.id  # the same weights
    assert scored["parent"] is None
    assert "act:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["digits_mlp", "--method", "gndy"], "nearest: gndi"),
        (["digits_mlp", "--method", "gndi:nom=1"], "nearest: norm"),
        (["digits_mlp", "--layers", "latint"], "nearest: latent"),
        (["digits_mlp", "--method", "gndi", "--target", "11"], "0 to 9; got 11"),
        (["digits_mlp", "--max-examples", "0"], "importance.max_examples must be at least 1"),
        (["digits_mlp", "--method", "hrank"], "name a convolution"),
        ([], "needs a network"),
        (["digits_mlp", "--model", "x.py:make", "--seeds", "1"], "--seeds names trainings"),
    ],
)
def test_what_cannot_be_scored_is_refused(home, capsys, words, why):
    quick = QUICK if words[:1] == ["digits_mlp"] else []
    assert main(["score", *words, *quick, *home[1]]) == 2
    assert why in capsys.readouterr().err


def test_pictures_are_shaded_and_filtered_by_scores(home, tmp_path, capsys):
    folder, options = home
    assert main(["score", "digits_mlp", *QUICK, "--method", "activation", *options]) == 0
    scored = newest(folder)
    written = tmp_path / "few.dot"
    assert main(["render", scored.id, "--dot", str(written), "--score", "activation", "--top", "3", *options]) == 0
    graph = foremost(pictures.graph_of(scored), "activation")
    assert next(iter(graph.scored)) == "activation"
    values = graph.scores["activation"]
    best = {graph.nodes.name(node) for node in sorted(values, key=lambda node: -values[node])[:3]}
    shown = set(re.findall(r"latent:\d+", written.read_text()))
    assert shown
    assert shown <= best
    assert main(["render", scored.id, "--svg", "--score", "activation", "--top", "3", *options]) == 0
    assert (scored.folder / "ndg-activation-top3.svg").is_file()
    capsys.readouterr()
    assert main(["render", scored.id, "--dot", "--score", "gndy", *options]) == 2
    assert "carries no scores by 'gndy'; there is: activation" in capsys.readouterr().err
    assert main(["render", newest(folder, "train").id, "--dot", *options]) == 2
    assert "is a train run" in capsys.readouterr().err


def test_the_graph_of_the_most_important_neurons(home):
    graph = ndg.NDG.load(newest(home[0], "align").folder / "ndg.json").with_scores(
        Scores("given", {"latent": np.arange(32.0) - 20}, {"latent": 0.0}, "all logits", "none", 1)
    )
    few = top(graph, "given", 4)
    latent = graph.nodes.slice("latent")
    kept = {latent.start + unit for unit in range(4)}  # the largest absolute values: 20, 19, 18, 17
    wanted = kept | set(range(10))
    pairs = set(zip(few.implications.antecedents.tolist(), few.implications.consequents.tolist(), strict=True))
    expected = {
        (a, c)
        for a, c in zip(graph.implications.antecedents.tolist(), graph.implications.consequents.tolist(), strict=True)
        if a >> 1 in wanted and c >> 1 in wanted
    }
    assert pairs == expected
    assert expected
    assert all((c ^ 1, a ^ 1) in pairs for a, c in pairs)  # skew-symmetric
    assert few.provenance["filters"][-1] == {"top": 4, "by": "given"}
    assert top(graph, "given", 32) == graph
    assert len(few.nodes) == len(graph.nodes)
    with pytest.raises(GraphError, match="nearest: given"):
        top(graph, "givn", 3)
    with pytest.raises(GraphError, match="must be at least 1; got 0"):
        top(graph, "given", 0)


def test_a_run_that_was_saved_with_a_former_key_is_read():
    document = {"importance": {"methods": ["gndi"], "steps": 7}}
    assert config.load(document).importance.n_steps == 7


def test_the_script_prints_the_scoreboard_over_trainings(home, tmp_path, capsys):
    folder, options = home
    assert main(["train", "digits_mlp", *QUICK, "--seed", "1", *options]) == 0
    asked = ["--methods", "gndi", "activation", "--layers", "latent", "encoder.pre", "--examples", "30"]
    asked += ["--runs", str(folder), "--json", str(tmp_path / "board.json")]
    assert importance_scoreboard.main(["--configs", "digits_mlp", "--seeds", "0", "1", *asked]) == 0
    told = capsys.readouterr().out
    assert "digits_mlp, trained" in told
    assert "digits_mlp, random weights" in told
    written = json.loads((tmp_path / "board.json").read_text())
    assert len(written["boards"]) == 4
    rows = {(row["network"], row["method"]): row for row in written["rows"]}
    assert rows["digits_mlp, trained", "gndi"]["networks"] == 2
    assert rows["digits_mlp, trained", "gndi"]["n"] == 128
    assert importance_scoreboard.main(["--configs", "digits_mlp", "--seeds", "7", *asked]) == 2
    assert "no completed training of digits_mlp with seed 7" in capsys.readouterr().err


def test_the_script_takes_linear_and_convolution_layers_before_the_logits(home):
    model, _ = ndg.load_model(newest(home[0], "train").folder)
    loader = data.load(config.Data()).validation.loader(64)
    assert weighted_layers(model, loader) == ["encoder.fc1", "encoder.pre", "decoder.fc1"]
