"""Estimates of dry runs: scores from a sample, constants at the speed of this machine."""

from __future__ import annotations

import itertools
import json
import operator
import subprocess
import sys
from dataclasses import replace

import pytest

from ndg.activations.sampling import count
from ndg.cli import main
from ndg.config import Experiment, Importance
from ndg.locations import Locations
from ndg.workflows import estimates, prepare, targets, timing
from ndg.workflows.estimates import _Sample, score_seconds
from ndg.workflows.subject import Subject

QUICK = ["train.epochs=2", "model.widths=[16]", "model.latent=8", "data.limit=40", "trial.minimal=3", "trial.budget=4"]

STAGES = {"extract", "mine", "scores", "controls", "trials", "interchange", "minimal", "edges", "report"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Options for a folder of runs with a small trained network."""
    options = ["-q", "--runs", str(tmp_path_factory.mktemp("runs")), "--executor", "serial"]
    assert main(["train", "digits_mlp", *QUICK, *options]) == 0
    return options


@pytest.fixture
def subject(home) -> tuple[Experiment, Subject]:
    where = Locations.choose(runs=home[2])
    [target] = targets.find(["digits_mlp"], QUICK, where)
    return target.experiment, prepare.subject_of(target, where)


@pytest.fixture
def clock(monkeypatch):
    """A clock that each reading moves on by a second, so that an estimate counts the actions that it times."""
    ticks = itertools.count()
    monkeypatch.setattr(estimates.time, "perf_counter", lambda: float(next(ticks)))


def of(experiment: Experiment, **settings) -> Experiment:
    return replace(experiment, importance=replace(Importance(), **settings))


def test_a_sample_of_tasks_stands_for_all(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(estimates.time, "perf_counter", lambda: now[0])

    def work(shared: int, task: int) -> int:
        now[0] += 0.4
        return shared * task

    sample = _Sample()
    assert sample.total(work, 2, range(1, 11), "sums") == 2 * (1 + 2 + 3)  # no task begins after a second
    assert sample.left_out == pytest.approx(7 * 0.4)
    assert sample.total(operator.mul, 2, [5], "sums") == 10
    assert sample.left_out == pytest.approx(7 * 0.4)


def test_scores_are_estimated_for_each_method_and_the_scoreboard(subject):
    experiment, network = subject
    seconds = score_seconds(of(experiment, methods=["gndi", "gradient"]), network, ["latent"], 0.01)
    assert list(seconds) == ["gndi", "gradient"]
    assert all(value > 0 for value in seconds.values())
    judged = of(experiment, methods=[], scoreboard=["gradient"], layers=["latent"])
    assert list(score_seconds(judged, network, ["latent"], 0.01)) == ["scoreboard"]


def test_a_sample_of_examples_stands_for_all(subject, clock):
    """Each method reads the clock twice: one second for 16 of the 39 examples where passes are slow."""
    experiment, network = subject
    quick = score_seconds(of(experiment, methods=["magnitude"]), network, ["latent"], 1e-6)
    slow = score_seconds(of(experiment, methods=["magnitude"]), network, ["latent"], 100.0)
    examples = network.sizes["validation"]
    assert quick["magnitude"] == 1.0
    assert slow["magnitude"] == pytest.approx(examples / 16)


def test_a_sample_has_the_settings_of_the_experiment(subject, monkeypatch):
    experiment, network = subject
    seen = []
    monkeypatch.setattr(estimates, "scored", lambda *request: seen.append(request))
    settings = {"methods": ["conductance"], "n_steps": 7, "baselines": "mean", "target": 3}
    score_seconds(of(experiment, **settings), network, ["latent"], 100.0)
    [(_, few, layers, method, how)] = seen
    assert (layers, method, how.n_steps, how.baselines, how.target) == (["latent"], "conductance", 7, "mean", 3)
    assert (count(few), how.options.batch) == (16, 16)


def test_constants_follow_the_speed_of_this_machine(monkeypatch):
    monkeypatch.setattr(timing, "timed", lambda action: 3 * timing.REFERENCE_SECONDS)
    assert timing.slowness() == pytest.approx(3)


def test_timed_is_the_median_after_a_warm_up(monkeypatch):
    readings = iter([0, 100, 0, 1, 0, 9, 0, 2, 0, 3, 0, 2])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(readings)))
    assert timing.timed(lambda: None) == 2


def test_a_dry_run_of_an_alignment_includes_its_scores(home, capsys, monkeypatch):
    monkeypatch.setattr(estimates, "score_seconds", lambda *_: {"conductance": 1000.0, "gndi": 500.0})
    assert main(["align", "digits_mlp", *QUICK, *home, "--dry-run", "--json"]) == 0
    [plan] = json.loads(capsys.readouterr().out)
    assert 1500 < plan["seconds"] < 1600


def test_a_dry_run_of_a_scoring_has_a_row_for_each_method_and_writes_nothing(home, capsys, tmp_path):
    assert main(["score", "digits_mlp", *QUICK, "--method", "gndi", "gradient", *home, "--dry-run", "--json"]) == 0
    plans = json.loads(capsys.readouterr().out)
    assert [plan["method"] for plan in plans] == ["gndi", "gradient", "reading and writing"]
    assert all(plan["seconds"] > 0 for plan in plans)
    assert {(plan["examples"], plan["layers"]) for plan in plans} == {(39, 1)}
    assert main(["score", "digits_mlp", *QUICK, "--method", "gndi", *home, "--dry-run"]) == 0
    assert "s in total" in capsys.readouterr().out
    assert main(["runs", "--where", '{"kind": "score"}', *home[:3]]) == 0
    assert "no runs" in capsys.readouterr().out


def test_every_stage_of_an_alignment_is_estimated(home):
    """`tests/test_commands.py` holds the same names against those of a run."""
    where = Locations.choose(runs=home[2])
    [target] = targets.find(["digits_mlp"], QUICK, where)
    assert set(prepare.stages(prepare.Prepared(target, where, None, "serial", None))) == STAGES


def test_the_stages_of_a_long_alignment_are_measured_with_the_kernels(home, monkeypatch):
    where = Locations.choose(runs=home[2])
    [target] = targets.find(["digits_mlp"], QUICK, where)
    prepared = prepare.Prepared(target, where, None, "serial", None)
    monkeypatch.setattr(prepare.discovery, "seconds_to_count", lambda pairs, examples: 123.0)
    assert prepare.stages(prepared)["mine"] < 1
    monkeypatch.setattr(prepare, "LONG", 0.0)
    assert prepare.stages(prepared)["mine"] == 123


def test_the_first_progress_bar_comes_before_the_kernels_are_loaded(home):
    code = f"""
import sys
from ndg import progress
from ndg.cli import main
class FirstBar(BaseException): pass
def stop(*_, **__): raise FirstBar
progress.bar = progress.meter = stop
try: main({["align", "digits_mlp", *QUICK, *home[1:]]!r})
except FirstBar: print("numba" in sys.modules, "ndg.bits.kernel" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"
