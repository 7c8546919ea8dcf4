"""The studies of `align.py`, end to end: each logs a run, writes its table, prints it."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import ndg
from ndg import runs
from ndg.causal.accuracy import BITS, CROSSED, FITTED, OWN_RANDOM, SHUFFLED, WITHOUT_INTERVENTION
from ndg.causal.faithful import CONTROLS, FAITHFUL, ORIGINAL
from ndg.causal.towards import FaithfulSettings
from ndg.cli import main
from ndg.config import Experiment
from ndg.counterfactual import CounterfactualSet
from ndg.graph.ndg import NDG
from ndg.models.binary import Binary
from ndg.report.html import Picture
from ndg.report.tables import Table
from ndg.workflows.studies import STUDIES, causal, causal_pictures, faithful, sweep
from ndg.workflows.studies.study_record import Findings, logged

pytestmark = pytest.mark.slow

QUICK = ["train.epochs=6", "train.schedule=constant", "model.widths=[32]"]
TRIAL = [
    "importance.methods=[]",
    "trial.interchange=false",
    "trial.edges=false",
    "trial.minimal=0",
    "trial.graphs=[]",
    "trial.draws=1",
    "report.max_nodes=8",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Options for a folder of runs with two trainings of one network."""
    folder = tmp_path_factory.mktemp("studies")
    options = ["-q", "--runs", str(folder)]
    for seed in ("0", "1"):
        assert main(["train", "digits_mlp", *QUICK, "--seed", seed, *options]) == 0
    return folder, options


def study(home, capsys, *words: str) -> tuple[list[dict], str]:
    """The documents that `align ... --json` prints, and what the same command prints for people."""
    _, options = home
    assert main(["align", *words, *QUICK, *options, "--executor", "serial"]) == 0
    told = capsys.readouterr().out
    with runs.open(str(home[0] / "ndg.db")) as log:
        kind = words[0]
        return [dict(record) for record in log.find({"kind": kind})], told


def rows_of(record: dict, name: str) -> list[dict[str, str]]:
    [path] = [artefact["path"] for artefact in record["artefacts"] if artefact["name"] == name]
    with open(f"{record['folder']}/{path}", newline="") as file:
        return list(csv.DictReader(file))


def test_layers(home, capsys):
    [record], told = study(home, capsys, "layers", "digits_mlp")
    assert record["status"] == "COMPLETED"
    sections = {tuple(sorted((row["first"], row["second"]))) for row in record["results"]["layers"]["rows"]}
    assert {("latent", "latent"), ("decoder.relu1", "latent"), ("decoder.relu1", "decoder.relu1")} <= sections
    assert len(rows_of(record, "layers.csv")) == len(record["results"]["layers"]["rows"])
    assert "edges within layers and between them" in told
    assert "report.html" in told


def test_controls_are_tables_3_and_7(home, capsys):
    [record], told = study(home, capsys, "controls", "digits_mlp")
    third = {row["source"]: row for row in record["results"]["controls"]["table_3"]["rows"]}
    assert set(third) == {"trained", "re-initialised network", "random inputs", "shuffled labels"}
    assert third["trained"]["label_edges"] > third["shuffled labels"]["label_edges"] == 0
    assert len(record["results"]["controls"]["table_7"]["rows"]) == 4
    assert "(Table 3)" in told
    assert "(Table 7)" in told


def test_models_of_two_trainings(home, capsys):
    [record], told = study(home, capsys, "models", "digits_mlp", "--seeds", "0", "1")
    between = {
        row["condition"]: row["edges"] for row in record["results"]["models"]["rows"] if row["where"] == "between"
    }
    assert between["two trainings, same inputs"] > 0
    same = between["two trainings, same inputs"]
    assert between["one network, different inputs"] + between["one network, real and random inputs"] < 0.05 * same
    assert len(record["results"]["parents"]["runs"]) == 1
    assert {row["own"] for row in record["results"]["models"]["cross"]} == {True, False}
    assert "left out, it needs a network of another task" in " ".join(told.split())


def test_edges_leave_a_graph_with_verdicts_and_the_causal_one(home, capsys):
    [record], told = study(home, capsys, "edges", "digits_mlp", "criterion.alpha=[5]")
    graph = NDG.load(f"{record['folder']}/ndg.json")
    causal = NDG.load(f"{record['folder']}/causal.json")
    assert causal == graph.causal(at_least=0.9)
    assert len(causal) < len(graph)
    assert len(rows_of(record, "edges.csv")) == 3 * len(graph)  # alone, with the closure, with the rest of it
    assert "edges survive; the others are not shown to be more than correlations" in " ".join(told.split())


def test_counterfactual_training_leaves_its_data_and_its_network(home, capsys):
    [record], told = study(home, capsys, "counterfactual", "digits_mlp", "counterfactual.epochs=1")
    data = CounterfactualSet.load(f"{record['folder']}/counterfactual.safetensors")
    assert len(data) == record["results"]["data"]["examples"]["train"]
    network, _ = ndg.load_model(Path(record["folder"]))
    assert network.latent_layer == "latent"
    stages = [(row["split"], row["stage"]) for row in record["results"]["counterfactual"]["rows"]]
    assert stages == [(split, stage) for split in ("validation", "test") for stage in ("before", "after", "real only")]
    assert "after counterfactual training" in " ".join(told.split())


def test_faithful_training_leaves_its_votes_and_its_network(home, capsys, monkeypatch):
    monkeypatch.setattr(faithful, "SETTINGS", FaithfulSettings(steps=6, rows=32, fit=800, pairs=200, examples=200))
    [record], told = study(home, capsys, "faithful", "digits_mlp")
    network, _ = ndg.load_model(Path(record["folder"]))
    assert isinstance(network.latent, Binary)
    rows = {row["network"]: row for row in rows_of(record, "faithful.csv")}
    assert set(rows) == {ORIGINAL, FAITHFUL, *CONTROLS}
    assert int(rows[FAITHFUL]["edges"]) <= 100
    assert ndg.causal.Votes.load(f"{record['folder']}/graph_votes.json").edges == int(rows[FAITHFUL]["edges"])
    assert len(rows_of(record, "certificates.csv")) == 10
    assert "votes mined again predict the network's label" in " ".join(told.split())


def test_a_sweep_takes_the_largest_alpha_by_validation_alone(home, capsys):
    words = ["sweep.alphas=[2,5,10,1000]", "sweep.betas=[1.0,0.9]", "sweep.goal=0.5"]
    [record], told = study(home, capsys, "sweep", "digits_mlp", "--seeds", "0", "1", *words)
    found = record["results"]["sweep"]
    assert len(found["rows"]) == 2 * 4 * 2 * 2
    for chosen in found["chosen"]:
        mine = [
            row
            for row in found["rows"]
            if row["run"] == chosen["run"] and row["split"] == "validation" and row["beta"] == 1.0
        ]
        good = [row["alpha"] for row in mine if row["set"] and row["aligned"] >= 0.5]
        assert chosen["alpha"] == max(good, default=None)
    assert "is the largest at which Q aligns 50% of the validation examples" in " ".join(told.split())


@pytest.mark.parametrize(
    ("kept", "says"), [(90, "better than the strongest class prototype"), (89, "no verdict, as binarising")]
)
def test_a_sweep_has_no_verdict_where_binarising_changes_the_network(kept, says):
    rates = dict.fromkeys(("aligned", "aligned_low", "aligned_high", "random", "prototype", "set", "changed"), 0.5)
    chosen = {"run": "r", "beta": 1.0, "alpha": 5.0}
    line = chosen | rates | {"split": "test", "selectivity_low": 0.1, "selectivity_high": 0.2, "n": 100, "kept": kept}
    words = sweep._words(chosen, [line], 0.95, "test")
    assert f"0.{kept}0 are kept by binarising alone" in words
    assert says in words


def test_diff_of_two_trainings_matches_their_units(home, capsys, tmp_path):
    folder, options = home
    assert main(["align", "digits_mlp", "--seeds", "0", "1", *QUICK, *TRIAL, *options, "--executor", "serial"]) == 0
    capsys.readouterr()
    with runs.open(str(folder / "ndg.db")) as log:
        ids = [record.id for record in log.find({"kind": "align"})]
    words = ["diff", *ids, "--bootstraps", "3", "--csv", str(tmp_path / "out"), *options]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    overlap = found["diff_1"]["rows"][0]
    assert overlap["jaccard"] > overlap["shuffled_high"]
    assert 0 <= overlap["control_low"] <= overlap["control"] <= overlap["control_high"] <= 1
    assert found["bootstrap"]["rows"][0]["edges"] > 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"edges_1.csv", "units_1.csv", "bootstrap.csv"}
    assert main(["diff", ids[0], ids[0], "--by-number", *options]) == 0
    assert "Jaccard 1.000" in capsys.readouterr().out


def test_configs_without_a_run_are_trained_first(tmp_path, capsys):
    tiny = ["model.widths=[8]", "train.epochs=1", "trial.interventions=[]", "importance.methods=[]"]
    words = ["align", "digits_mlp", *tiny, "--runs", str(tmp_path), "-q", "--json", "--executor", "serial"]
    assert main([*words, "--train"]) == 0
    [first] = json.loads(capsys.readouterr().out)
    assert main([*words, "--train", "--seeds", "0", "1", "--resume"]) == 0
    same, other = json.loads(capsys.readouterr().out)
    assert (same["_id"], other["seeds"]["seed"]) == (first["_id"], 1)
    with runs.open(str(tmp_path / "ndg.db")) as log:
        assert [record["seeds"]["seed"] for record in log.find({"kind": "train"}, "started")] == [0, 1]
        assert len(log.find({"kind": "align"})) == 2


def test_of_several_alignments_complete_ones_stay_and_the_others_start(home, capsys):
    folder, options = home
    graph_alone = ["trial.interventions=[]", "importance.methods=[]", "--executor", "serial"]
    words = ["align", "digits_mlp", *QUICK, *graph_alone, *options]
    assert main([*words, "--seeds", "0", "1", "--resume"]) == 2  # nothing was begun
    assert "there is no align run of" in capsys.readouterr().err
    assert main([*words, "--seeds", "1", "--json"]) == 0
    [first] = json.loads(capsys.readouterr().out)
    assert main([*words, "--seeds", "0", "1", "--resume", "--json"]) == 0
    other, same = json.loads(capsys.readouterr().out)
    assert same["_id"] == first["_id"]
    assert other["_id"] != first["_id"]
    count = len(list(folder.iterdir()))
    assert main([*words, "--seeds", "0", "1", "--resume", "--json"]) == 0
    assert [record["_id"] for record in json.loads(capsys.readouterr().out)] == [other["_id"], same["_id"]]
    assert len(list(folder.iterdir())) == count
    assert main([*words, "--seeds", "1", "--resume"]) == 2
    assert "is complete; start another without --resume" in capsys.readouterr().err


def test_what_a_study_cannot_do_is_said(home, capsys):
    folder, options = home
    assert main(["align", "layers", "digits_mlp", "--resume", *QUICK, *options]) == 2
    assert "starts from the beginning; leave" in capsys.readouterr().err
    assert main(["diff", "nothing", "else", *options]) == 2
    assert "nothing" in capsys.readouterr().err
    with runs.start(None, "layers", Experiment(name="odd"), folder):
        pass
    assert main(["align", "odd-layer", *QUICK, *options]) == 2
    message = capsys.readouterr().err
    assert re.search(r"'odd-layer' is in the id of \S+-odd-layers-\w+, a layers run; ", message)
    assert main(["align", "lairs", "digits_mlp", *QUICK, *options]) == 2
    assert "is named 'lairs'" in capsys.readouterr().err


def test_a_new_study_is_a_module_and_a_line(home, capsys, monkeypatch):
    module = ModuleType("ndg.workflows.studies.counting")

    def run(prepared):
        def work(_: object) -> Findings:
            lines = [{"network": each.target.id, "edges": len(each.graph)} for each in prepared]
            return Findings({"rows": lines}, [Table.of_rows("Edges counted", lines)], {"counting.csv": lines})

        return [logged("counting", prepared[0], work, "Counting")]

    module.run = run
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(STUDIES, "counting", "how many edges there are")
    with pytest.raises(SystemExit):
        main(["align", "--help"])
    assert "counting how many edges there are" in " ".join(capsys.readouterr().out.split())
    [record], told = study(home, capsys, "counting", "digits_mlp", "criterion.alpha=[5,50]")
    assert "Edges counted" in told
    assert record["config"]["criterion"]["alpha"] == [5.0]
    [line] = record["results"]["counting"]["rows"]
    assert line["edges"] > 0
    assert rows_of(record, "counting.csv") == [{"network": record["parent"], "edges": str(line["edges"])}]


def test_causal_leaves_the_accuracy_of_votes_sets_and_certificates(home, capsys, monkeypatch):
    monkeypatch.setattr(causal, "ACCURACY", causal.AccuracySettings(fit=1200, pairs=300))
    monkeypatch.setattr(causal, "PROOFS", causal.CertifySettings(nodes=64))
    for name in ("HIDDEN", "FORCED"):
        monkeypatch.setattr(causal, name, causal.SetSettings(at_most=2, examples=60))
    monkeypatch.setattr(causal, "RARE", 0.25)
    monkeypatch.setattr(causal_pictures, "MOST", 5)
    [record], told = study(home, capsys, "causal", "digits_mlp")
    rows = {row["predictor"]: row for row in rows_of(record, "interchange_accuracy.csv")}
    assert set(rows) == {FITTED, *WITHOUT_INTERVENTION, SHUFFLED, BITS, OWN_RANDOM, CROSSED}
    assert float(rows[FITTED]["iia"]) > float(rows[SHUFFLED]["iia"])
    assert float(rows[BITS]["iia"]) > 0.7
    assert len(rows_of(record, "label_sets.csv")) == len(rows_of(record, "certificates.csv")) == 10
    assert len(rows_of(record, "votes.csv")) == record["results"]["causal"]["interchange_accuracy"]["edges"]
    assert record["results"]["causal"]["hidden_sets"]["targets"] == len(rows_of(record, "hidden_sets.csv")) > 0
    at_random = record["results"]["causal"]["hidden_sets_at_random"]
    assert at_random["survive"] <= record["results"]["causal"]["hidden_sets"]["survive"]
    assert "taken at random" in " ".join(told.split())
    assert rows_of(record, "effects.csv")
    forced = record["results"]["causal"]["forced_effects"]
    assert len({row["unit"] for row in rows_of(record, "forced_effects.csv")}) == min(causal.SAMPLE, 32)
    assert f"correlation {forced['correlation']:.2f}" in " ".join(told.split())
    right, of, low, high = forced["sign_survival"]
    assert 0 <= low <= right / of <= high <= 1
    controls = rows_of(record, "set_controls.csv")
    assert [row["equal"] for row in controls] == ["equal size"] * 4 + ["equal changes"] * 3
    assert all(row["lead"] for row in controls[1:])
    assert "at equal changes the strongest prototype" in " ".join(told.split())
    assert "the best control without interventions" in " ".join(told.split())
    page = (Path(record["folder"]) / "report.html").read_text()
    assert "interchange accuracy of votes of latent" in page
    assert '<section id="picture">' in page
    assert "<iframe class=explorer" in page
    assert (Path(record["folder"]) / "explorer.html").is_file()
    again = Path(record["folder"]) / "again.html"
    assert main(["report", record["_id"], "--html", str(again), *home[1]]) == 0
    caption = Picture.of((again.parent / "ndg.svg").read_text(encoding="utf-8")).caption
    assert caption.startswith("Shown: ")
    for text in (page, again.read_text(encoding="utf-8")):  # the caption is of the picture that the run drew
        assert set(re.findall(r"Shown: [^<.]*", text)) == {caption.split(".")[0]}
    graph = NDG.load(f"{record['folder']}/ndg.json")
    assert [votes.layer for votes in graph.votes] == ["latent", "decoder.fc1"]
    assert len(graph.conjunctions) == sum(row["survives"] == "True" for row in rows_of(record, "hidden_sets.csv"))
    assert main(["render", record["_id"], "--dot", f"{record['folder']}/three.dot", "--target", "3", *home[1]]) == 0
    assert "What leads to label:3" in Path(record["folder"], "three.dot").read_text()
