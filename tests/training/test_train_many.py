"""Several seeds: ordinary runs with the numbers that each seed has alone, here or in Ray workers."""

from __future__ import annotations

import _thread
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ndg import config, runs, training
from ndg.cli import main
from ndg.errors import ConfigError, DataError, WorkerError
from ndg.locations import Locations
from ndg.runs.record import read_all
from ndg.training import LOG, METRICS, MODEL
from ndg.workflows import train, train_many
from tests.training.small import digits, experiment, figures, sentences

QUICK = ["train.epochs=2", "model.widths=[16]"]
LONG = ["train.epochs=40", "train.patience=40"]
ENDLESS = ["train.epochs=5000", "train.patience=5000"]


def small(*overrides):
    return config.load(config.find("digits_mlp"), [*QUICK, *overrides])


def places(folder: Path) -> Locations:
    return Locations.choose(runs=str(folder))


def logged(where: Locations):
    with runs.open(where.store) as book:
        return {record["seeds"]["seed"]: record for record in book.find({"kind": "train"}, sort="started")}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Seeds 0 to 3, each trained by itself."""
    where = places(tmp_path_factory.mktemp("alone"))
    return {seed: train.run(small(f"seed={seed}"), where) for seed in range(4)}


@pytest.mark.parametrize("executor", ["serial", "ray"])
def test_each_seed_is_an_ordinary_run_with_the_numbers_it_has_alone(executor, alone, tmp_path, request):
    if executor == "ray":
        request.getfixturevalue("ray_session")
    where = places(tmp_path)
    outcomes = train_many.run_seeds(small(), [3, 0, 2, 1], where, executor=executor)
    assert [outcome.seed for outcome in outcomes] == [3, 0, 2, 1]
    assert all(outcome.reason is None for outcome in outcomes)
    found = logged(where)
    for outcome in outcomes:
        record, expected = outcome.record, alone[outcome.seed]
        assert record == found[outcome.seed]
        assert record["status"] == "COMPLETED"
        assert (record["digest"], record["command"]) == (expected["digest"], expected["command"])
        assert figures(record["metrics"]) == figures(expected["metrics"])
        assert record.artefact(MODEL).read_bytes() == expected.artefact(MODEL).read_bytes()
        assert {entry["name"] for entry in record["artefacts"]} == {"config.yaml", MODEL, METRICS, LOG}


def test_relative_folders_mean_the_same_in_a_worker(ray_session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (outcome,) = train_many.run_seeds(small(), [1], places(Path("runs")), executor="ray")
    assert outcome.record.folder.parent == tmp_path / "runs"
    assert (tmp_path / "runs" / "ndg.db").is_file()


@pytest.mark.parametrize("executor", ["serial", "ray"])
def test_resuming_ends_what_was_cut_and_begins_what_never_began(executor, alone, tmp_path, request, monkeypatch):
    """Seed 1 never began; seed 0 was cut short; seed 2 is complete."""
    if executor == "ray":
        request.getfixturevalue("ray_session")
    where = places(tmp_path)
    done = train.run(small("seed=2"), where)
    whole = training.train

    def short(*arguments, on_epoch, **how):
        def stop(row):
            on_epoch(row)
            raise KeyboardInterrupt

        return whole(*arguments, on_epoch=stop, **how)

    monkeypatch.setattr(training, "train", short)
    with pytest.raises(KeyboardInterrupt):
        train.run(small("seed=0"), where)
    monkeypatch.undo()
    first, second, third = train_many.run_seeds(small(), [0, 1, 2], where, executor=executor, resume=True)
    assert third.record == done, "what is complete stays as it is"
    assert figures(second.record["metrics"]) == figures(alone[1]["metrics"])
    assert len(second.record["attempts"]) == 1
    assert figures(first.record["metrics"]) == figures(alone[0]["metrics"])
    assert first.record.artefact(MODEL).read_bytes() == alone[0].artefact(MODEL).read_bytes()
    assert len(first.record["attempts"]) == 2
    assert set(logged(where)) == {0, 1, 2}


@pytest.mark.parametrize("executor", ["serial", "ray"])
def test_a_seed_that_fails_does_not_lose_the_others(executor, tmp_path, request):
    """Where none was begun there is nothing to resume; where one is still under way, it is not begun again."""
    if executor == "ray":
        request.getfixturevalue("ray_session")
    where = places(tmp_path)
    found = train_many.run_seeds(small(), [0, 1], where, executor=executor, resume=True)
    assert all(outcome.reason.startswith("there is no train run of 'digits_mlp'") for outcome in found)
    with runs.start(where.store, "train", small("seed=0"), where.runs) as living:
        first, second = train_many.run_seeds(small(), [0, 1], where, executor=executor, resume=True)
    assert first.record is None
    assert f"cannot be resumed; {living.id}" in first.reason
    assert second.record["status"] == "COMPLETED"


@contextmanager
def watching(folder: Path, seeds: set[int], act: Callable[[list[int]], None]) -> Iterator[None]:
    """While it lasts, a thread that acts once, on the processes of runs, when all these seeds have done an epoch."""
    over = threading.Event()

    def look():
        while not over.wait(0.05):
            records = read_all(folder)
            busy = {record["seeds"]["seed"]: record["pid"] for record in records if record["metrics"]}
            if seeds <= set(busy):
                act([busy[seed] for seed in sorted(seeds)])
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_worker_that_dies_costs_its_own_seed_alone(ray_session, tmp_path):
    def kill(processes):
        assert os.getpid() not in processes
        os.kill(processes[0], signal.SIGKILL)

    with watching(tmp_path, {1}, kill):
        dead, living = train_many.run_seeds(small(*LONG), [1, 2], places(tmp_path), executor="ray")
    assert dead.record is None
    assert "its Ray worker ended without an answer" in dead.reason
    assert living.record["status"] == "COMPLETED"


def test_an_interrupt_reaches_the_workers_whose_runs_say_so(ray_session, tmp_path):
    with watching(tmp_path, {1, 2}, lambda _: _thread.interrupt_main()), pytest.raises(KeyboardInterrupt):
        train_many.run_seeds(small(*ENDLESS), [1, 2], places(tmp_path), executor="ray")
    found = logged(places(tmp_path))
    assert {seed: record["status"] for seed, record in found.items()} == {1: "INTERRUPTED", 2: "INTERRUPTED"}
    assert ray_session.is_initialized()


def test_what_could_never_run_is_refused_before_anything_is_written(ray_session, tmp_path):
    where = places(tmp_path / "runs")
    with pytest.raises(ConfigError, match="seeds are one or more, all different; got 1, 2, 1"):
        train_many.run_seeds(small(), [1, 2, 1], where)
    with pytest.raises(ConfigError, match="seeds are one or more, all different; got none"):
        train_many.run_seeds(small(), [], where)
    with pytest.raises(DataError, match="data set 'arrays' needs a folder"):
        train_many.run_seeds(small("data.name=arrays"), [1], where)
    with pytest.raises(ConfigError, match="an executor is auto, serial, threads or ray; got 'rai'; nearest: ray"):
        train_many.run_seeds(small(), [1], where, executor="rai")
    with pytest.raises(WorkerError, match=r"needs 64 CPU at once; the Ray cluster has 2; lower train\.threads"):
        train_many.run_seeds(small("train.threads=64"), [1, 2], where, executor="ray")
    assert not (tmp_path / "runs").exists()


def test_without_several_seeds_or_room_for_them_auto_stays_in_this_process(tmp_path, monkeypatch):
    monkeypatch.setattr("ndg.executors.outcomes._in_ray", lambda *_: pytest.fail("Ray is not needed"))
    (one,) = train_many.run_seeds(small(), [5], places(tmp_path))
    monkeypatch.setattr("ndg.executors.available_cpus", lambda: 1)
    two = train_many.run_seeds(small(), [6, 7], places(tmp_path))
    assert [outcome.record["seeds"]["seed"] for outcome in [one, *two]] == [5, 6, 7]


def test_the_command_trains_seeds_and_fails_when_one_does(tmp_path, capsys):
    options = ["--runs", str(tmp_path), "--executor", "serial"]
    assert main(["train", "digits_mlp", "--seeds", "4", "5", *QUICK, *options, "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["seeds"]["seed"] for record in records] == [4, 5]

    where = places(tmp_path)
    with runs.start(where.store, "train", small("seed=6"), where.runs):
        assert main(["train", "--seeds", "5", "6", "digits_mlp", *QUICK, *options, "--resume"]) == 1
    out, err = capsys.readouterr()
    assert records[1]["_id"] in out
    assert "1 of 2 trainings failed, the others are complete; digits_mlp with seed 6: a run that is still alive" in err

    assert main(["train", "digits_mlp", "--seeds", "1", "--seed", "2", *options]) == 2
    assert "give --seeds, or --seed" in capsys.readouterr().err
    assert main(["train", "digits_mlp", "--seeds", "one", *options]) == 2
    assert "--seeds takes whole numbers, as in --seeds 0 1 2; got one" in capsys.readouterr().err


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("name", ["mlp", "lstm", "bert"])
def test_a_plan_times_steps_on_images_and_texts_alike(name, optimizer, tmp_path, monkeypatch):
    """The data are given here, so that no file has to lie anywhere."""
    monkeypatch.setattr(train, "load", lambda _: digits() if name == "mlp" else sentences())
    plan = train.plan(experiment(name, optimizer=optimizer), places(tmp_path / "runs"))
    assert plan.steps == 4 * (7 if name == "mlp" else 3)
    assert plan.seconds > 0
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_counts_every_seed(tmp_path, capsys):
    given = ["train", "digits_mlp", *QUICK, "--runs", str(tmp_path / "runs"), "--dry-run", "--json"]
    for optimizer in ("adamw", "sgd"):
        assert main([*given, f"train.optimizer={optimizer}", "--seeds", "0", "1", "2"]) == 0
        plans = json.loads(capsys.readouterr().out)
        assert len(plans) == 3
        assert all(plan["seconds"] > 0 for plan in plans)
    assert not (tmp_path / "runs").exists()
