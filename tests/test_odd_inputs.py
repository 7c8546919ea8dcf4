"""Odd configs, queries, paths and environments end in a message that says what to change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import ndg
from ndg import cli, config
from ndg.config import Experiment, validation
from ndg.errors import ConfigError, UserError
from ndg.locations import Locations
from ndg.runs.query import validated

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.learning_rate=.inf", r"train.learning_rate must be a finite number; got inf; write a decimal such as"),
        ("train.learning_rate=1e400", r"train.learning_rate must be a finite number; got inf"),
        ("train.fitness={weights: .inf}", r"train.fitness.weights must be a finite number; got inf"),
        ("sweep.alphas=[2, .inf]", r"sweep.alphas must be a finite number; got inf"),
        ("criterion.alpha=[5, .nan]", r"criterion.alpha must be above 1, .*; got \[5.0, nan\]"),
        ("paper.accuracy=.nan", r"paper.accuracy must be inside \(0, 1\], or null; got nan"),
        ("seed=" + "9" * 30, r"seed must be at least 0 and below 2\*\*63"),
        ("data.limit=" + "9" * 30, r"data.limit must fit in 64 bits; got a number of 25 hexadecimal digits"),
        ("train.learning_rate=1" + "0" * 400, r"train.learning_rate must fit in 64 bits; got a number of 333 hexa"),
        ("seed=1:30", r"seed must be a decimal; got '1:30'"),
        ("seed={a: 1}", r"seed must be a whole number; got \{'a': 1\}; write one such as 5"),
        ("train={epochs: {a: 1}}", r"train.epochs must be a whole number; got \{'a': 1\}"),
        ("model.latent=1000000000000", r"model.latent must be at most 1,000,000; got 1000000000000"),
        ("model.widths=[8, 99999999]", r"model.widths must be at most 1,000,000; got 99999999"),
        ("model={name: vit, depth: 100000}", r"model.depth must be at most 1,000; got 100000"),
        ("train.threads=100000", r"train.threads must be at most 1,024; got 100000"),
        ("extract.threads=2000", r"extract.threads must be at most 1,024; got 2000"),
        ("report.timeout=1e308", r"report.timeout must be at most 100,000; got 1e\+308"),
        ("trial.draws=1000000000", r"trial.draws must be at most 10,000; got 1000000000"),
        ("mining.pairs={a: b}", r"mining.pairs must be all, between, within, or a list of pairs of layer names; got"),
        ("extract.layers={a: 1}", r"extract.layers must be one text or a list of texts; got \{'a': 1\}; write it as"),
        ("data.columns=[[a], [b]]", r"data.columns must be one text or a list of texts"),
        ("trial.interventions=[Q,Q]", r"trial\.interventions must be names, each once; got \['Q', 'Q'\]"),
        ("trial.splits=[test,test]", r"trial\.splits must be at least one split, each once; got \['test', 'test'\]"),
        ('name="\\0"', r"name must be Unicode text without NUL and unpaired surrogates"),
        ("name=" + "[" * 500, r"at most 32 levels and 100,000 values; the override of name has more"),
        ("smoke={train: {epochs: .inf}}", r"smoke.train.epochs must be a finite number; got inf"),
    ],
)
def test_an_odd_value_of_a_config_is_named(override: str, message: str):
    with pytest.raises(ConfigError, match=message):
        config.load({}, [override])


@pytest.mark.parametrize("text", ["\ud800", "a\0b"])
def test_a_text_that_no_file_can_hold_is_refused(text: str):
    with pytest.raises(ConfigError, match="name must be Unicode text without NUL and unpaired surrogates"):
        Experiment(name=text)
    with pytest.raises(ConfigError, match=r"a key in smoke must be Unicode text"):
        Experiment(smoke={text: 1})


def test_a_value_of_another_type_is_named_too():
    with pytest.raises(ConfigError, match=r"train\.epochs must be at least 1; got three"):
        validation._keep("train.epochs", "three", validation.RULES["train.epochs"])


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghijkl"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "smoke: " + "[" * 900 + "]" * 900,
            "at most 32 levels and 100,000 values; .*own.yaml has more",
        ),
        ("smoke: " + "[" * 100_000, "at most 32 levels"),
        (BOMB, "at most 32 levels and 100,000 values"),
        ("smoke: &a {b: [*a]}", r"a config must not contain itself; .*own.yaml does by \*a; write it out"),
        ("name: x\n" + "#" * 1_000_001, "at most 1,000,000 characters"),
        ('name: "\\ud800"', "name must be Unicode text|cannot be read as YAML"),
    ],
)
def test_a_config_file_cannot_take_all_memory(tmp_path: Path, text: str, message: str):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        config.load(tmp_path / "own.yaml")


def test_a_config_that_is_no_file_does_not_hang(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", tmp_path):
        with pytest.raises(ConfigError, match=r"a config is a file; .* is a folder or a device; name a file in it"):
            config.load(path)


def test_a_deep_dictionary_is_refused():
    deep: dict[str, object] = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(ConfigError, match="a config has at most 32 levels; config has more"):
        config.load({"smoke": deep})


@pytest.mark.parametrize("depth", [21, 900, 90_000])
def test_a_deep_query_is_refused(depth: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    where = '{"$or": [' * depth + '{"kind": "train"}' + "]}" * depth
    assert cli.main(["runs", "--runs", str(tmp_path), "--where", where]) == 2
    message = capsys.readouterr().err
    assert "a query has at most 20 levels" in message or "--where takes a MongoDB query as JSON" in message
    assert validated(json.loads('{"$or": [' * 19 + '{"kind": "train"}' + "]}" * 19))


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("~nobody-of-that-name/runs", "must be below a known home folder where it begins with ~"),
        ("a" * 300, "must be at most 4095 bytes long, with names of at most 255"),
        ("a/" * 3000, "must be at most 4095 bytes long"),
        ("a\0b", "must be text without NUL"),
    ],
)
def test_a_path_that_no_file_can_have_is_refused(path: str, rule: str):
    for place in ({"data": path}, {"runs": path}, {"store": path}):
        with pytest.raises(ConfigError, match=rule):
            Locations.choose(**place)
    with pytest.raises(ConfigError, match=rule):
        ndg.data.load(ndg.config.Data(name="arrays", dir=path))


def test_a_bad_folder_of_runs_is_a_mistake_with_exit_code_2(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["runs", "--runs", "~nobody-of-that-name/runs"]) == 2
    assert "the folder of runs must be below a known home folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 10**9}, "threads must be at most 1,024; got 1000000000; choose a smaller one"),
        ({"batch": 10**12}, "batch must be at most 1,000,000"),
        ({"timeout": float("inf")}, "timeout must be a finite number; got inf"),
    ],
)
def test_options_that_no_machine_has_memory_for_are_refused(options: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        ndg.RunOptions(**options)


@pytest.mark.parametrize("error", [MemoryError("no room"), RuntimeError("CPUAllocator: can't allocate memory: 4 TB")])
def test_a_full_memory_is_a_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error):
    def full(options, where):
        raise error

    monkeypatch.setattr(ndg.commands, "configs", full)
    assert cli.main(["configs"]) == 1
    assert "the memory must hold the network and a batch; " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "switches"), [("läufe", {}), ("runs", {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"})]
)
def test_the_command_line_works_without_home_and_in_the_locale_c(tmp_path: Path, folder: str, switches: dict[str, str]):
    with ndg.runs.start(None, "train", Experiment(name="é猫"), tmp_path / folder) as run:
        run.metric({"epoch": 1})
    command = [sys.executable, "-m", "ndg", "show", "last", "--runs", str(tmp_path / folder)]
    bare = {"PATH": os.environ["PATH"], "LC_ALL": "C", **switches}
    done = subprocess.run(command, env=bare, capture_output=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert run.id.encode() in done.stdout


def test_a_query_is_not_any_json():
    for where in ([], ["a"], "a", 3):
        with pytest.raises(UserError, match="a query is asked by a dictionary of fields or operators"):
            validated(where or ["a"])
