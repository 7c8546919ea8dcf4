"""`log.txt`, `metrics.csv` and events: whole after any interruption, with every epoch once."""

from __future__ import annotations

import csv
import importlib.util

import pytest
import torch

from ndg import training
from ndg.errors import MissingPackageError, OutputError
from ndg.training.journal import EVENTS, remaining
from tests.training.small import Interrupt, digits, experiment

HERE = importlib.util.find_spec("tensorboard") is not None


def lines(folder):
    return (folder / training.LOG).read_text().splitlines()


def epochs(folder):
    return [line.partition(":")[0] for line in lines(folder) if line.startswith("epoch ")]


def rows(folder):
    with (folder / training.METRICS).open() as file:
        return list(csv.DictReader(file))


def test_the_log_tells_what_is_trained_where_each_epoch_and_the_end(tmp_path):
    one, splits = experiment(optimizer="sgd", schedule="linear"), digits()
    result = training.train(one, splits, tmp_path)
    text = lines(tmp_path)
    head, ends = "\n".join(text[:6]), text[-1]
    assert text[0].endswith(" UTC: started")
    for part in (one.digest, one.training_digest, "seed 0", "device cpu, 1 thread, float32", torch.__version__):
        assert part in head
    for part in (
        "300 train, 90 validation, 90 test examples of 10 classes",
        "sgd, rate 0.003, linear",
        "batches of 48",
    ):
        assert part in head
    network, _ = training.load_model(tmp_path)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert f"{count:,} parameters, {count:,} trainable" in head
    assert epochs(tmp_path) == [f"epoch {number}/4" for number in range(1, 5)]
    for row, line in zip(result.history, text[6:10], strict=True):
        assert f"loss {row['loss']:.4f}, accuracy {row['accuracy']:.4f}; validation loss" in line
        assert f"rate {row['learning_rate']:.3g}; {row['examples_per_second']:,.0f} examples/s" in line
        assert line.endswith(" left")
    assert ends.startswith("end: kept the network of epoch ")
    assert f"test accuracy {result.test_accuracy:.4f}" in ends
    assert len(text) == 11


def test_metrics_have_one_row_per_epoch_with_its_speed(tmp_path):
    result = training.train(experiment(), digits(), tmp_path)
    found = [{key: float(value) for key, value in row.items()} for row in rows(tmp_path)]
    assert found == result.history
    for row in result.history:
        assert 300 / row["examples_per_second"] <= row["seconds"]


def test_a_resumed_training_appends_and_repeats_no_epoch(tmp_path):
    for epoch in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            training.train(experiment(), digits(), tmp_path, resume=True, on_epoch=Interrupt(epoch))
    training.train(experiment(), digits(), tmp_path, resume=True)
    assert epochs(tmp_path) == [f"epoch {number}/4" for number in range(1, 5)]
    starts = [line.partition("UTC: ")[2] for line in lines(tmp_path) if " UTC: " in line]
    assert starts == ["started", "resumed after epoch 1", "resumed after epoch 3"]
    assert [row["epoch"] for row in rows(tmp_path)] == ["1", "2", "3", "4"]
    before = lines(tmp_path)
    training.train(experiment(), digits(), tmp_path, resume=True)
    assert lines(tmp_path) == before, "a finished training has nothing to add"


@pytest.mark.parametrize("damage", ["cut", "lost", "ahead", "gone"])
def test_what_a_crash_cut_off_or_lost_is_mended(damage, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        training.train(experiment(), digits(), tmp_path, on_epoch=Interrupt(3))
    path = tmp_path / training.LOG
    whole = path.read_text()
    third = whole.splitlines()[-1]
    assert third.startswith("epoch 3/4")
    path.write_text(
        {
            "cut": whole[:-20],
            "lost": whole.replace(f"{third}\n", ""),
            "ahead": f"{whole}{third.replace('epoch 3', 'epoch 4')}\n",
            "gone": "",
        }[damage]
    )
    training.train(experiment(), digits(), tmp_path, resume=True)
    assert epochs(tmp_path) == [f"epoch {number}/4" for number in range(1, 5)]
    assert lines(tmp_path).count(third) == 1


def test_the_time_that_is_left_goes_by_the_mean_epoch():
    history = [{"seconds": seconds} for seconds in (10.0, 30.0)]
    assert remaining(history, 5) == "60 s left"
    assert remaining(history, 14) == "4.0 min left"
    assert remaining(history, 902) == "5.0 h left"
    assert remaining(history, 2) == "0 s left"


def test_a_log_that_cannot_be_written_is_an_error(tmp_path):
    def spoil(row):
        (tmp_path / training.LOG).unlink()
        (tmp_path / training.LOG).mkdir()

    with pytest.raises(OutputError, match=r"log\.txt cannot be written: .*; free space, or choose a folder"):
        training.train(experiment(), digits(), tmp_path, on_epoch=spoil)


@pytest.mark.skipif(HERE, reason="tensorboard is installed")
def test_events_without_the_package_are_an_error_with_the_line_that_installs_it(tmp_path):
    with pytest.raises(MissingPackageError, match=r"needs tensorboard: pip install '.*\[tensorboard\]'; or set"):
        training.train(experiment(tensorboard=True), digits(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not HERE, reason="tensorboard is not installed")
def test_events_hold_every_epoch_once_also_after_an_interrupt(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    one = experiment(tensorboard=True)
    with pytest.raises(KeyboardInterrupt):
        training.train(one, digits(), tmp_path, on_epoch=Interrupt(2))
    result = training.train(one, digits(), tmp_path, resume=True)
    events = EventAccumulator(str(tmp_path / EVENTS)).Reload()
    found = [(event.step, event.value) for event in events.Scalars("validation_loss")]
    assert found == [(row["epoch"], pytest.approx(row["validation_loss"])) for row in result.history]
