"""Commands: mistakes of the user, failures and interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ndg import config, runs
from ndg.cli import main
from ndg.runs.record import read

ROOT = Path(__file__).parent.parent


def test_a_dry_run_and_a_printed_config_write_nothing(tmp_path, capsys):
    options = ["--runs", str(tmp_path / "none")]
    assert main(["train", "digits_mlp", "train.epochs=3", *options, "--dry-run"]) == 0
    assert "digits_mlp" in capsys.readouterr().out
    assert main(["train", "digits_mlp", "train.epochs=3", *options, "--print-config"]) == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    assert config.load(printed) == config.load(config.find("digits_mlp"), ["train.epochs=3"])
    assert list(tmp_path.iterdir()) == [printed]


MISTAKES = [
    (["train", "digits_mlp", "criterion.alhpa=3"], "no key 'criterion.alhpa' in a config; nearest: criterion.alpha"),
    (["train", "digits_mlp", "train.epochs=many"], "train.epochs"),
    (["train", "digits_mpl"], "none of that name ships; nearest: digits_mlp"),
    (["train", "digits_mlp", "data.name=digitz"], "known data set; got 'digitz'; nearest: digits"),
    (["train", "digits_mlp", "data.name=arrays"], "data set 'arrays' needs a folder with"),
    (["train", "digits_mlp", "data.test=0.001"], "the test split must have examples"),
    (["train", "digits_mlp", "model.dropout=3"], "model.dropout must be inside [0, 1); got 3.0"),
    (["train", "digits_mlp", "model.widths=[0]"], "model.widths must be at least 1; got [0]"),
    (["train", "digits_vit", "model.patch=0"], "model.patch must be at least 1; got 0"),
    (["train", "digits_mlp", "train.noise=-1"], "train.noise must be at least 0; got -1.0"),
    (["train", "digits_mlp", "train.weight_decay=-1"], "train.weight_decay must be at least 0"),
    (["align", "digits_mlp", "trial.splits=[]"], "trial.splits must be at least one split"),
    (["runs", "--limit", "-3"], "--limit is at least 1; got -3"),
    (["train", "digits_mlp", "--resume"], "there is no train run of 'digits_mlp'"),
    (["align", "digits_mlp"], "has no completed train run of digits_mlp"),
    (["align", "--train"], "--train trains the configs that a command names; it names none"),
    (["align", "digits_mlp", "--train", "--dry-run"], "--dry-run and --print-config write nothing, but --train does"),
    (["align"], "train one first, as in `ndg train digits_mlp`"),
    (["align", "no-such-run"], "is named 'no-such-run'"),
    (["align", "digts_mlp"], "is named 'digts_mlp'; there is none; of configs, nearest: digits_mlp"),
    (["show", "no-such-run"], "is named 'no-such-run'"),
    (["runs", "--where", "{"], "--where takes a MongoDB query as JSON"),
    (["runs", "--store", "mongdb://x"], "mongodb://"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_exits_with_2_says_what_to_do_and_writes_nothing(words, message, tmp_path, capsys):
    assert main([*words, "-q", "--runs", str(tmp_path / "runs")]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.count("\n") == 1
    assert not out
    assert not list(tmp_path.glob("runs/*/"))


def test_a_network_is_not_aligned_on_other_data_than_it_was_trained_on(tmp_path, capsys):
    rng, options = np.random.default_rng(0), ["-q", "--runs", str(tmp_path / "runs")]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "inputs.npy", rng.random((90, 1, 4, 4), dtype=np.float32))
        np.save(tmp_path / name / "labels.npy", np.arange(90) % 3)
    settings = ["digits_mlp", "data.name=arrays", "train.epochs=1"]
    assert main(["train", *settings, f"data.dir={tmp_path / 'a'}", *options]) == 0
    assert main(["align", *settings, f"data.dir={tmp_path / 'b'}", *options]) == 2
    assert "was trained on other data than" in capsys.readouterr().err
    assert (
        main(["align", *settings, f"data.dir={tmp_path / 'a'}", *options, "importance.methods=[]", "trial.minimal=0"])
        == 0
    )


def test_a_password_is_in_no_file_and_no_message(tmp_path, capsys):
    uri = "mongodb://bob:S3cr3tPw@127.0.0.1:9/ndg?serverSelectionTimeoutMS=200"
    quick = ["digits_mlp", "train.epochs=1", "importance.methods=[]", "trial.interventions=Q", "trial.minimal=0"]
    quick.append(f"store.uri={uri}")
    options = ["--runs", str(tmp_path)]
    assert main(["align", *quick, *options]) == 1
    assert main(["train", *quick, *options]) == 0
    assert main(["align", *quick, *options, "--executor", "serial"]) == 1
    out, err = capsys.readouterr()
    assert "S3cr3tPw" not in out + err
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"S3cr3tPw" not in path.read_bytes(), path


def test_a_store_that_cannot_be_reached_costs_a_warning(tmp_path, capsys):
    dead = "mongodb://127.0.0.1:9/ndg?serverSelectionTimeoutMS=300"
    options = ["--runs", str(tmp_path), "--store", dead]
    assert main(["train", "digits_mlp", "train.epochs=1", *options]) == 0
    assert capsys.readouterr().err.count("warning:") == 1
    with runs.open(tmp_path / "ndg.db") as log:
        assert log.get("last")["status"] == "COMPLETED"


def test_an_output_folder_that_cannot_be_written_is_a_failure(tmp_path, capsys):
    (tmp_path / "runs").write_text("a file where the folder should be")
    assert main(["train", "digits_mlp", "train.epochs=1", "--runs", str(tmp_path / "runs")]) == 1
    assert "choose another place for runs" in capsys.readouterr().err


def test_ctrl_c_leaves_an_interrupted_run_that_can_be_resumed(tmp_path, capsys):
    slow = ["digits_mlp", "train.epochs=400", "train.patience=400"]
    command = [sys.executable, "train_models.py", *slow, "--runs", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*/metrics.csv")) and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    record = read(folder)
    assert record["status"] == "INTERRUPTED"
    from ndg.training import load_model

    load_model(folder)
    assert main(["align", record["_id"], "-q", "--runs", str(tmp_path)]) == 2
    assert "--resume" in capsys.readouterr().err


def test_the_scripts_are_the_commands(tmp_path):
    for script in ("train_models.py", "align.py"):
        done = subprocess.run([sys.executable, script, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert f"usage: {script}" in done.stdout
        assert f"example: {script}" in done.stdout
    done = subprocess.run(
        [sys.executable, "train_models.py", "digits_mlp", "nonsense=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"NDG_RUNS": str(tmp_path / "runs")},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("train_models.py: no key 'nonsense' in a config")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["", "train", "align", "runs", "show", "render", "configs", "doctor"])
def test_every_help_ends_with_an_example(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([*command.split(), "--help"])
    assert capsys.readouterr().out.strip().splitlines()[-1].startswith("example: ndg")


def test_the_version_and_the_configs(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.startswith("ndg ")
    assert main(["configs"]) == 0
    assert {"digits_mlp", "digits_cnn", "digits_vit"} <= set(capsys.readouterr().out.split())


def test_the_doctor_examines_everything_and_says_what_is_wrong(tmp_path, capsys):
    assert main(["doctor", "--runs", str(tmp_path / "runs")]) == 0
    out = capsys.readouterr().out
    for what in ("torch", "device", "Ray", "Graphviz", "run log", "data set digits"):
        assert what in out
    assert "!!" not in out
    dead = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=300"
    assert main(["doctor", "--runs", str(tmp_path), "--store", dead]) == 1
    assert "!!" in capsys.readouterr().out
