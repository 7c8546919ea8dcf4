"""What a folder keeps: the best, the last or every K-th epoch, and a state that goes on to the last bit."""

from __future__ import annotations

import itertools

import pytest
import torch

from ndg import training
from ndg.config.validation import SCHEDULES
from ndg.errors import CheckpointError
from ndg.models import checkpoint
from tests.training.small import Interrupt, digits, experiment, figures, sentences

RESTLESS = {"epochs": 6, "learning_rate": 5e-2, "schedule": "constant", "optimizer": "sgd", "momentum": 0.99}


def weights(path):
    return checkpoint.read(path)[0]


def last(folder):
    """Weights after the last epoch."""
    state = weights(folder / training.STATE)
    return {name.removeprefix("model/"): tensor for name, tensor in state.items() if name.startswith("model/")}


def same(one, other):
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("optimizer", "schedule", "keep"),
    [
        *itertools.product(["adamw", "sgd"], SCHEDULES, ["best"]),
        ("adamw", "linear", "last"),
        ("sgd", "triangular", "every:2"),
    ],
)
@pytest.mark.parametrize("name", ["mlp", "lstm", "bert"])
def test_a_training_goes_on_after_an_interrupt_to_the_last_bit(name, optimizer, schedule, keep, tmp_path):
    splits = digits() if name == "mlp" else sentences()
    one = experiment(name, optimizer=optimizer, schedule=schedule, keep_checkpoints=keep)
    whole = training.train(one, splits, tmp_path / "whole")
    for epoch in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            training.train(one, splits, tmp_path / "parts", resume=True, on_epoch=Interrupt(epoch))
        torch.manual_seed(epoch)
    resumed = training.train(one, splits, tmp_path / "parts", resume=True)
    assert figures(resumed.history) == figures(whole.history)
    assert (resumed.epoch, resumed.test_accuracy) == (whole.epoch, whole.test_accuracy)
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == names
    for path in (tmp_path / "whole").glob("*.safetensors"):
        assert same(weights(path), weights(tmp_path / "parts" / path.name)), path.name


def test_momentum_is_part_of_the_state(tmp_path):
    training.train(experiment(optimizer="sgd"), digits(), tmp_path)
    slots = {name.rpartition("/")[2] for name in weights(tmp_path / training.STATE) if name.startswith("optimizer/")}
    assert slots == {"momentum_buffer"}
    training.train(experiment(optimizer="sgd", momentum=0.0), digits(), tmp_path / "none")
    assert not any(name.startswith("optimizer/") for name in weights(tmp_path / "none" / training.STATE))


def test_last_keeps_the_last_epoch_which_is_the_one_that_is_judged(tmp_path):
    splits = digits()
    best = training.train(experiment(**RESTLESS), splits, tmp_path / "best")
    assert best.epoch == best.best_epoch < best.epochs, "the last epoch must not be the best here"
    result = training.train(experiment(**RESTLESS, keep_checkpoints="last"), splits, tmp_path / "last")
    assert figures(result.history) == figures(best.history)
    assert (result.epoch, result.best_epoch) == (6, best.best_epoch)
    assert same(weights(result.checkpoint), last(tmp_path / "last"))
    assert checkpoint.read(result.checkpoint)[1]["epoch"] == 6
    network, _ = training.load_model(tmp_path / "last")
    assert result.validation_accuracy == result.history[-1]["validation_accuracy"]
    assert result.test_accuracy == training.evaluate(network, splits.test)[1]


def test_every_k_th_epoch_is_kept_beside_the_best(tmp_path):
    splits, one = digits(), experiment(**{**RESTLESS, "epochs": 5}, keep_checkpoints="every:2")
    then = {}

    def look(row):
        then[row["epoch"]] = last(tmp_path)

    result = training.train(one, splits, tmp_path, on_epoch=look)
    assert [path.name for path in result.others] == ["epoch-0002.safetensors", "epoch-0004.safetensors"]
    assert sorted(path.name for path in tmp_path.glob("epoch-*")) == [path.name for path in result.others]
    for number, path in zip((2, 4), result.others, strict=True):
        assert same(weights(path), then[number])
        network, loaded = training.load_model(tmp_path, path.name)
        row = result.history[number - 1]
        assert training.evaluate(network, splits.validation) == (row["validation_loss"], row["validation_accuracy"])
        assert loaded == one
    assert same(weights(result.checkpoint), then[result.best_epoch])
    assert [str(path) for path in result.others] == result.to_dict()["others"]


def test_an_epoch_that_was_not_kept_is_an_error(tmp_path):
    training.train(experiment(epochs=1), digits(), tmp_path)
    with pytest.raises(CheckpointError, match=r"checkpoint .*epoch-0001\.safetensors does not exist"):
        training.load_model(tmp_path, "epoch-0001.safetensors")


def test_early_stopping_looks_at_the_best_also_where_the_last_is_kept(tmp_path):
    still = experiment(epochs=9, patience=2, learning_rate=1e-30, weight_decay=0.0, keep_checkpoints="last")
    result = training.train(still, digits(), tmp_path)
    assert (result.best_epoch, result.epoch, result.epochs) == (1, 3, 3)
