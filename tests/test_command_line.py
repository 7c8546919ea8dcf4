"""The command line for people: screens, choices, references, completion, outputs that cannot be written."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, is_dataclass

import pytest

from ndg import config, runs, terminal
from ndg.cli import main
from ndg.commands import choices, parser
from ndg.config import Experiment
from ndg.config.reference import keys
from ndg.doctor import Finding
from ndg.executors import EXECUTORS
from ndg.importance.graph_scores import OF_GRAPH
from ndg.importance.score import IMPORTANCE
from ndg.mining.criteria import CRITERIA
from ndg.report.render import REPORTS
from ndg.runs import show
from ndg.workflows import train_many
from ndg.workflows.studies import STUDIES
from tests.mongo_server import free_port


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with a run of many results, and the end of its id."""
    with runs.start(None, "train", Experiment(name="digits_mlp"), tmp_path) as run:
        run.metric({"epoch": 1, "loss": 0.5})
        run.result("train", {"validation_accuracy": 0.98, "per_class": {str(label): 0.5 for label in range(200)}})
    return tmp_path, run.id


@pytest.fixture
def screen(monkeypatch):
    """A terminal of 80 columns and 24 lines."""
    monkeypatch.setattr(terminal, "size", lambda: (80, 24))
    monkeypatch.setenv("COLUMNS", "80")
    return 80, 24


def printed(capsys, *words: str) -> str:
    assert main([*words]) == 0
    return capsys.readouterr().out


def test_show_fits_one_screen_and_all_shows_the_rest(home, screen, capsys):
    folder, id = home
    lines = printed(capsys, "show", id, "--runs", str(folder)).splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    assert "train.validation_accuracy  0.98" in lines
    assert lines[-1].endswith(f"ndg show {id.split('-', 2)[-1]} --all")
    whole = printed(capsys, *lines[-1].partition("ndg ")[2].split(), "--runs", str(folder))
    assert lines[-1].startswith(f"{len(whole.splitlines())} lines in all")
    assert max(map(len, whole.splitlines())) <= 80
    assert "train.per_class.199" in whole
    assert "trial.minimal" in whole


@pytest.mark.parametrize("command", [["data", "list"], ["doctor"], ["configs", "--keys"]])
def test_long_lines_are_wrapped_to_the_terminal(command, screen, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("ndg.doctor.examine", lambda _: [Finding("data set mnist", "missing; " * 20, "get it " * 30)])
    assert main([*command, "--runs", str(tmp_path)]) == (command == ["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) > 4


def test_show_in_a_pipe_is_one_screen_too(home, capsys):
    folder, id = home
    lines = printed(capsys, "show", id, "--runs", str(folder)).splitlines()
    assert len(lines) <= show.SCREEN
    whole = printed(capsys, "show", id, "--all", "--runs", str(folder))
    assert "train.per_class.199" in whole
    assert lines[-1].startswith(f"{len(whole.splitlines())} lines in all")


def test_the_list_of_runs_fits_the_terminal_and_its_names_are_understood(home, screen, capsys):
    folder, id = home
    heads, line = printed(capsys, "runs", "--runs", str(folder)).splitlines()
    assert len(line) <= 80
    assert heads.split()[0] == "run"
    assert printed(capsys, "show", line.split()[0], "--runs", str(folder)).startswith(id)


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("align", [*STUDIES, *CRITERIA, "G.1", "resample", "quantile", *EXECUTORS]),
        ("score", [*IMPORTANCE, *OF_GRAPH, "mean", "validation"]),
        ("train", [*config.MODELS, "digits", "allnli"]),
        ("render", list(REPORTS)),
        ("data", ["digits", "cub200"]),
        ("runs", ["$gt", "$nor"]),
        ("completion", ["bash", "zsh", "fish"]),
    ],
)
def test_help_lists_what_can_be_chosen(command, names, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    out = capsys.readouterr().out
    assert not [name for name in names if name not in out]
    assert max(map(len, out.splitlines())) <= 80
    assert out.strip().splitlines()[-1].startswith("example: ndg")


def test_help_reads_the_registries(monkeypatch, capsys):
    monkeypatch.setitem(CRITERIA, "mine", CRITERIA["paper"])
    assert "mine" in choices.names("criterion.name")
    with pytest.raises(SystemExit):
        main(["align", "--help"])
    assert "\n  mine " in capsys.readouterr().out


def test_configs_are_described_in_one_line_each(screen, capsys):
    lines = printed(capsys, "configs").splitlines()
    assert [line.split()[0] for line in lines] == list(config.configs())
    assert all(30 < len(line) <= 80 for line in lines)
    assert "MNIST of Hu & Tian 2022: their network exactly" in "\n".join(lines)


def test_configs_in_a_pipe_keep_their_paths(capsys):
    document = json.loads(printed(capsys, "configs", "--json"))
    assert [entry["name"] for entry in document] == list(config.configs())
    first = printed(capsys, "configs").splitlines()[0].split()
    assert first[:2] == [document[0]["name"], document[0]["path"]]


def test_every_config_key_has_a_type_a_default_and_a_meaning(capsys):
    known = {key.key: key for key in keys()}
    for section in fields(Experiment):
        value = getattr(Experiment(), section.name)
        names = [f"{section.name}.{each.name}" for each in fields(value)] if is_dataclass(value) else [section.name]
        assert not [name for name in names if name not in known]
    for network in config.MODELS.values():
        assert {f"model.{each.name}" for each in fields(network)} <= set(known)
    assert all(key.type and key.meaning.partition(" (")[0].rstrip(": ") for key in keys())
    assert known["train.epochs"].default == 40
    assert known["data.limit"].type == "int or null"
    assert known["train.schedule"].meaning.endswith("(cosine, constant, linear or triangular)")


def test_the_reference_of_keys_names_the_choices_and_fits(screen, capsys):
    out = printed(capsys, "configs", "--keys", "criterion")
    assert max(map(len, out.splitlines())) <= 80
    assert {"criterion.alpha", "criterion.q"} <= set(out.split())
    assert "paper" in out
    assert main(["configs", "--keys", "creterion"]) == 2
    assert "nearest: criterion" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_options_and_names(shell, capsys):
    script = printed(capsys, "completion", shell)
    for name in ("align", "executor", "digits_mlp", "gndi", "sweep"):
        assert name in script, name


def test_completion_of_bash_completes(tmp_path, capsys):
    (tmp_path / "ndg.bash").write_text(printed(capsys, "completion", "bash"))
    lines = [f"source {tmp_path / 'ndg.bash'}"]
    for words in ("ndg tr", "ndg align digits_c", "ndg score x --method gra"):
        lines.append(
            f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _shtab_ndg; echo ${{COMPREPLY[@]}}"
        )
    done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["train", "digits_cnn", "gradient gradient_x_activation grasp"]


@pytest.mark.parametrize("command", [["show", "last"], ["runs"], ["configs"], ["configs", "--json"]])
def test_a_full_disk_behind_stdout_ends_without_a_traceback(command, home, monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([*command, "--runs", str(home[0])]) == 1
        monkeypatch.undo()
    err = capsys.readouterr().err
    assert err == "ndg: output cannot be written: No space left on device; write to another place\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">/dev/full", "2>/dev/full", "| true"])
def test_closed_and_full_streams_leave_no_traceback(closed, home, tmp_path):
    command = f"{sys.executable} -m ndg show last --all --runs {home[0]} {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == (1 if closed == ">/dev/full" else 0)


@pytest.mark.parametrize("command", [["runs"], ["show", "last"], ["render"], ["align", "digits_mlp"], ["score", "x"]])
def test_a_store_that_does_not_answer_is_an_error_not_an_answer_from_another_log(command, home, capsys):
    dead = f"mongodb://127.0.0.1:{free_port()}/ndg?serverSelectionTimeoutMS=100"
    assert main([*command, "--store", dead, "--runs", str(home[0])]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert "check that the server runs" in err
    assert "name another log with --store" in err


@pytest.mark.parametrize(
    ("count", "at_once", "seconds", "executor"),
    [(2, 2, 1000.0, "serial"), (8, 4, 1000.0, "ray"), (8, 4, 1.0, "serial"), (4, 64, 1000.0, "ray")],
)
def test_auto_starts_ray_only_where_it_saves_at_least_half_and_says_of_what(count, at_once, seconds, executor):
    chosen, reason = train_many.by_estimate(count, at_once, seconds)
    assert chosen == executor
    assert f"the training of {count} seeds" in reason


def test_commands_parse_quickly_what_they_do_not_run():
    assert not parser.make_parser("ndg", ["runs"]).commands["train"]._get_positional_actions()
    assert parser.make_parser("ndg").commands["train"]._get_positional_actions()
