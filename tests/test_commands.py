"""The commands, end to end on real data: from a config to a PDF, in both kinds of run log."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from ndg import config, runs
from ndg.abstraction.controls import CONTROLS
from ndg.cli import main
from ndg.graph.ndg import NDG
from ndg.runs.record import read
from tests.scripts import run_module
from tests.test_estimates import STAGES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
QUICK = ["model.widths=[64]", "train.epochs=6", "train.schedule=constant", "importance.n_steps=5"]
FEWER = ["trial.graphs=[]", "trial.curve=false", "trial.interchange=false", "trial.edges=false", "trial.minimal=0"]
"""Leaves out of a trial what a test is not about; `aligned` has all of it."""


@pytest.fixture(scope="module", params=["file", "mongodb"])
def home(request, tmp_path_factory, mongo_uri):
    """Options for a folder of runs with one trained network, logged in an embedded file or on a server."""
    folder = tmp_path_factory.mktemp("runs")
    uri = str(folder / "ndg.db") if request.param == "file" else f"{mongo_uri}/commands"
    options = ["-q", "--runs", str(folder), "--store", uri]
    assert main(["train", "digits_mlp", *QUICK, *options]) == 0
    return folder, uri, options


in_a_file = pytest.mark.parametrize("home", ["file"], indirect=True)
"""For tests that are not about the run log."""


@pytest.fixture(scope="module")
def aligned(home):
    """The same with the network aligned once, with the document of that run."""
    folder, uri, options = home
    assert main(["align", "digits_mlp", *QUICK, "trial.minimal=20", *options, "--executor", "serial"]) == 0
    with runs.open(uri) as log:
        return folder, uri, options, log.get("last", kind="align")


def test_a_training_is_a_completed_run_with_its_files(home):
    folder, uri, _ = home
    with runs.open(uri) as log:
        (record,) = log.find({"kind": "train"})
    assert record["status"] == "COMPLETED"
    assert [row["epoch"] for row in record["metrics"]] == list(range(1, len(record["metrics"]) + 1))
    assert record.figure("results.train.test_accuracy") > 0.8
    assert record["digest"] == config.load(record["config"]).digest
    names = {artefact["name"] for artefact in record["artefacts"]}
    assert {"config.yaml", "model.safetensors", "metrics.csv"} <= names
    assert all((folder / record.id / name).is_file() for name in names)
    assert config.load(folder / record.id / "config.yaml").digest == record["digest"]


def test_an_alignment_leaves_graph_tables_picture_and_report(aligned):
    folder, _, _, record = aligned
    assert record["status"] == "COMPLETED"
    place = folder / record.id
    for name in (
        "ndg.json",
        "edges.csv",
        "trials.csv",
        "curves.csv",
        "interchange.csv",
        "edges_tried.csv",
        "minimal.csv",
        "scores.csv",
        "explorer.html",
        "examples.json",
        "ndg.pdf",
        "ndg.svg",
        "report.html",
        "journal.jsonl",
    ):
        assert (place / name).stat().st_size > 100, name
    assert (place / "ndg.pdf").read_bytes().startswith(b"%PDF")
    graph = NDG.load(place / "ndg.json")
    assert graph.digest == record.figure("results.graph.digest")
    assert len(graph) == record.figure("results.graph.implications") > 0
    assert set(graph.scores) == {"gndi", "conductance"}
    assert set(record.figure("results.seconds")) == STAGES
    report = (place / "report.html").read_text()
    assert record.id in report
    assert "<svg" in report
    assert "http://" not in report.replace("http://www.w3.org/", "")


def test_results_lie_where_queries_look_for_them(aligned):
    _, uri, _, record = aligned
    for stage in ("q", "g1", "g2"):
        for split in ("train", "test"):
            figures = record.figure(f"results.trial.{stage}.{split}")
            assert figures["aligned_low"] <= figures["aligned"] <= figures["aligned_high"]
            counts = figures["counts"]["graph"]
            assert counts["aligned"] + counts["changed"] + counts["unchanged"] == counts["correct"] == figures["n"]
            assert set(figures["controls"]) == {*CONTROLS} | {"reinitialised", "random_inputs", "shuffled_labels"}
            assert figures["selectivity_picked"] == "the strongest prototype on validation"
            assert len(figures["selectivity_draws"]) == 5
    with runs.open(uri) as log:
        assert [r.id for r in log.find({"results.trial.q.test.aligned": {"$gte": 0}, "config.data.name": "digits"})]
        assert log.find({"results.trial.q.test.aligned": {"$gt": 1}}) == []
        frame = log.frame(where={"kind": "align"})
    assert frame.loc[record.id, "results.trial.q.test.aligned"] == record.figure("results.trial.q.test.aligned")


@in_a_file
def test_aligning_again_gives_the_same_figures_and_so_does_ray(aligned, ray_session, capsys):
    _, _, options, record = aligned
    again = []
    for executor in ("serial", "ray"):
        assert (
            main(["align", record["parent"], *QUICK[3:], *FEWER[1:], *options, "--executor", executor, "--json"]) == 0
        )
        again += json.loads(capsys.readouterr().out)
    for other in again:
        assert other["parent"] == record["parent"]
        for stage, trial in record["results"]["trial"].items():
            for split, figures in trial.items():
                assert other["results"]["trial"][stage][split]["counts"] == figures["counts"]
        assert other["results"]["graph"]["digest"] == record["results"]["graph"]["digest"]
    assert again[1]["results"]["trial"]["q"]["test"]["executor"] == "ray"


@in_a_file
def test_several_alphas_are_as_many_runs(home, capsys):
    _, _, options = home
    command = [
        "align",
        "digits_mlp",
        *QUICK,
        *FEWER,
        "criterion.alpha=[5,50]",
        "trial.splits=test",
        "trial.interventions=Q",
    ]
    assert main([*command, *options, "--executor", "serial", "--json"]) == 0
    five, fifty = json.loads(capsys.readouterr().out)
    assert (five["config"]["criterion"]["alpha"], fifty["config"]["criterion"]["alpha"]) == ([5.0], [50.0])
    assert five["results"]["graph"]["implications"] > fifty["results"]["graph"]["implications"]


def test_results_go_to_stdout_and_messages_to_stderr(aligned, capsys):
    _, _, options, record = aligned
    loud = [option for option in options if option != "-q"]
    assert main(["align", "digits_mlp", *QUICK, *loud, "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert "to align" in out
    assert record["parent"] in err
    assert "best of the completed runs" in err
    assert main(["runs", *options]) == 0
    out, err = capsys.readouterr()
    assert record.id in out
    assert not err
    assert main(["runs", *options, "--where", '{"results.trial.q.test.aligned": {"$gt": 1}}']) == 0
    assert "no runs" in capsys.readouterr().out
    assert main(["show", record.id, *options]) == 0
    assert "Q aligned" in capsys.readouterr().out
    assert main(["show", "last", *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["_id"]


@pytest.mark.parametrize("script", ["graph_figures", "edge_precision", "interventions"])
def test_the_papers_tables_are_printed_from_the_run_log(script, aligned, tmp_path, monkeypatch, capsys):
    _, uri, _, record = aligned
    assert run_module(f"analysis.{script}", ["--store", uri], monkeypatch) == 0
    printed = capsys.readouterr().out
    assert record["name"] in printed
    assert len(printed.splitlines()) > 4
    assert run_module(f"analysis.{script}", ["--runs", str(tmp_path)], monkeypatch) == 2
    assert "no completed align run" in capsys.readouterr().err


@in_a_file
def test_a_graph_is_drawn_and_exported_again_from_its_run(aligned, tmp_path, capsys):
    _, _, options, record = aligned
    kinds = {"pdf": b"%PDF", "svg": b"<?xml", "dot": b"digraph", "graphml": b"<?xml", "json": b"{"}
    wanted = [word for kind in kinds for word in (f"--{kind}", str(tmp_path / f"graph.{kind}"))]
    assert main(["render", record.id, *options, *wanted]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / f"graph.{kind}") for kind in kinds]
    for kind, beginning in kinds.items():
        assert (tmp_path / f"graph.{kind}").read_bytes().lstrip().startswith(beginning), kind
    place = tmp_path / "folder"
    place.mkdir()
    assert main(["render", record.id, *options, "--svg", str(place), "--target", "3"]) == 0
    assert "label:3" in (place / "ndg-3.svg").read_text()
    assert main(["explore", record.id, *options, "--out", str(place)]) == 0
    assert main(["report", record.id, *options, "--md", str(place)]) == 0
    assert {path.name for path in place.iterdir()} == {"ndg-3.svg", "explorer.html", "summary.md"}
    assert not {"folder.svg", "folder.html", "folder.md"} & {path.name for path in tmp_path.iterdir()}
    for wrong in (["--svg", str(tmp_path / "x.svg"), "--target", "33"], ["--pdf", str(tmp_path / "x.svg")]):
        assert main(["render", record.id, *options, *wrong]) == 2
        assert not (tmp_path / "x.svg").exists()
    assert main(["render", record.id, *options, "--pdf", "--max-nodes", "0"]) == 2


@contextmanager
def read_only(folder, place):
    """The folder at another place, where nothing can be written."""
    place.mkdir()
    bound = subprocess.run(["mount", "--bind", folder, place], capture_output=True, check=False).returncode == 0
    try:
        remount = ["mount", "-o", "remount,ro,bind", place]
        if not bound or subprocess.run(remount, capture_output=True, check=False).returncode:
            pytest.skip("a folder is mounted read-only by root alone")
        yield place
    finally:
        if bound:
            subprocess.run(["umount", "--lazy", place], check=True)


@in_a_file
def test_a_read_only_mount_is_read_drawn_and_aligned_from(aligned, tmp_path, monkeypatch, capsys):
    folder, _, _, record = aligned
    monkeypatch.chdir(tmp_path)
    with read_only(folder, tmp_path / "mounted") as mounted:
        pages = [["render", record.id, "--csv"], ["report", record.id, "--md"], ["explore", record.id]]
        tables = [
            ["runs"],
            ["show", record.id],
            ["compare", record.id, record["parent"]],
            ["diff", record.id, record.id],
        ]
        for words in (*tables, *pages, ["best", "results.train.test_accuracy"], ["export", "copy.db"]):
            assert main([*words, "--runs", str(mounted), "-q"]) == 0, words
        assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
            "copy.db", *(f"{record.id}-{name}" for name in ("ndg.csv", "summary.md", "explorer.html"))
        }  # fmt: skip
        trained = mounted / record["parent"]
        assert main(["align", str(trained), *FEWER, "--runs", "own", "--executor", "serial", "-q"]) == 0
        assert main(["tag", record.id, "x", "--runs", str(mounted), "-q"]) == 1
    assert "write a readonly database" in capsys.readouterr().err
    with runs.open(tmp_path / "own" / "ndg.db") as log:
        assert log.get("last")["parent"] == record["parent"]
        aligned_share = "results.trial.q.test.aligned"
        assert log.get("last").figure(aligned_share) == record.figure(aligned_share)


def test_without_a_config_every_one_at_hand_is_trained_and_aligned(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("NDG_DATA", raising=False)
    options = ["--runs", str(tmp_path)]
    assert main(["train", "train.epochs=1", "data.limit=300", *options, "--json"]) == 0
    out, err = capsys.readouterr()
    bundled = [name for name in config.configs() if name.startswith("digits")]
    assert [record["name"] for record in json.loads(out)] == bundled
    assert "mnist_cnn is left out: data set 'mnist' needs" in err
    assert "sst2_distilbert is left out: model.pretrained is a folder" in err
    assert "estimate" in err.partition("train digits")[0]
    quick = [
        "train.epochs=1",
        "data.limit=300",
        "trial.interventions=Q",
        "importance.methods=[]",
        "report.max_nodes=12",
        "--executor",
        "serial",
    ]
    assert main(["align", *quick, *FEWER, *options, "--json", "-q"]) == 0
    assert [record["name"] for record in json.loads(capsys.readouterr().out)] == bundled


@in_a_file
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("criterion.name=papr", "known criterion; got 'papr'; nearest: paper"),
        ("extract.binarizer=medain", "known binarizer; got 'medain'; nearest: median"),
        ("trial.interventions=R", "got 'R'; there is: Q, G.1, G.2"),
        ("importance.methods=gdni", "known method of importance; got 'gdni'; nearest: gndi"),
        ("extract.layers=[latent,decoder.fc1]", "set trial.layer to one of them"),
        ("mining.pairs=btween", "got 'btween'; nearest: between"),
        ("mining.pairs=3", "pairs of layers; got '3'"),
        ("mining.pairs=[[label,latnt]]", "must name layers of the network; got 'latnt'; nearest: latent"),
    ],
)
def test_a_name_that_nothing_answers_to_is_refused_before_anything_is_written(home, override, message, capsys):
    folder, _, options = home
    before = set(folder.iterdir())
    for dry in ([], ["--dry-run"]):
        assert main(["align", "digits_mlp", *QUICK, *options, override, *dry]) == 2
        assert message in capsys.readouterr().err
    assert set(folder.iterdir()) == before


@in_a_file
def test_of_several_layers_one_is_put_on_trial(home, capsys):
    _, _, options = home
    layers = ["extract.layers=[latent,decoder.relu1]", "trial.layer=latent", "trial.splits=test", "report.max_nodes=12"]
    assert main(["align", "digits_mlp", *QUICK, *FEWER, *options, *layers, "--executor", "serial", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert [layer["layer"] for layer in record["results"]["graph"]["layers"]] == ["latent", "decoder.relu1"]
    assert record["results"]["trial"]["q"]["test"]["layer"] == "latent"


def test_a_seed_that_is_asked_for_is_the_seed_that_is_aligned(home, capsys):
    _, _, options = home
    assert main(["align", "digits_mlp", *QUICK, *options, "seed=7"]) == 2
    assert "has no completed train run of digits_mlp" in capsys.readouterr().err


@in_a_file
def test_a_layer_that_does_not_exist_is_answered_with_the_nearest(home, capsys):
    folder, _, options = home
    before = set(folder.iterdir())
    assert main(["align", "digits_mlp", *QUICK, *options, "extract.layers=latnet"]) == 2
    err = capsys.readouterr().err
    assert "no layer 'latnet' in " in err
    assert "nearest: latent" in err
    for new in set(folder.iterdir()) - before:
        assert read(new)["status"] == "FAILED"


@in_a_file
def test_a_checkpoint_of_another_run_is_refused(home, capsys):
    folder, uri, options = home
    assert main(["train", "digits_mlp", *QUICK, "seed=9", *options]) == 0
    with runs.open(uri) as log:
        other, first = log.find({"kind": "train"})[0], log.find({"kind": "train"})[-1]
    path = folder / first.id / "model.safetensors"
    whole = path.read_bytes()
    try:
        path.write_bytes((folder / other.id / "model.safetensors").read_bytes())
        assert main(["align", first.id, *options]) == 2
        assert f"is not the network that run {first.id} logged: its sha256 differs" in capsys.readouterr().err
    finally:
        path.write_bytes(whole)


@in_a_file
def test_a_picture_that_takes_too_long_costs_the_picture_and_no_figure(home, capsys):
    folder, _, options = home
    loud = [option for option in options if option != "-q"]
    quick = ["report.timeout=0.0001", "trial.interventions=Q", "importance.methods=[]", "--executor", "serial"]
    assert main(["align", "digits_mlp", *QUICK[:3], *FEWER, *loud, *quick, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "warning: no picture: layout by dot must end within 0.0001 s" in err
    (record,) = json.loads(out)
    assert (folder / record["_id"] / "report.html").is_file()
    assert not (folder / record["_id"] / "ndg.pdf").exists()


@in_a_file
def test_a_truncated_checkpoint_is_refused(home, tmp_path, capsys):
    folder, _, options = home
    with runs.open(options[-1]) as log:
        record = log.find({"kind": "train"})[-1]
    path = folder / record.id / "model.safetensors"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: len(whole) // 2])
        assert main(["align", record.id, *options]) == 2
        assert "model.safetensors" in capsys.readouterr().err
    finally:
        path.write_bytes(whole)


@in_a_file
def test_a_sweep_counts_once_and_says_what_it_took(home, capsys):
    _, _, options = home
    what = ["digits_mlp", *QUICK, *FEWER, *options, "mining.pairs=between", "mining.max_examples=200"]
    what += ["criterion.alpha=[5,20]", "trial.splits=[test]", "trial.interventions=[Q]"]
    assert main(["align", *what, "--dry-run", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert main(["align", *what, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert [run["config"]["criterion"]["alpha"] for run in done] == [[5.0], [20.0]]
    loose, strict = (run["results"]["mining"] for run in done)
    assert loose["alphas"] == strict["alphas"] == [5.0, 20.0]
    assert loose["seconds"] == strict["seconds"], "the second run counts nothing anew"
    own = [run["results"]["seconds"] for run in done]
    assert all(each["trials"] > 0 and each["extract"] == own[0]["extract"] for each in own)
    assert own[0]["trials"] != own[1]["trials"], "each run has the seconds of its own stages"
    assert loose["implications"] > strict["implications"]
    assert loose["sample"] == {"seed": 0, "of": 1259}
    assert loose["examples"] == 200
    assert loose["pairs"] == first["pairs"] == 10 * 32
    assert loose["bytes"] == first["bytes"]
    assert first["forwards"] - second["forwards"] == loose["forwards"], "the first pays for what they share"
    assert done[0]["results"]["accuracy"]["train"]["n"] == 200
