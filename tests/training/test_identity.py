"""A training goes on with the config, seed and data that it was started with, and with no others."""

from dataclasses import replace

import pytest

from ndg import data, training
from ndg.config import MLP, Data, Experiment, ResNet, Train
from ndg.errors import CheckpointError
from ndg.locations import Locations
from ndg.workflows import train_many
from tests.data import fixtures

QUICK = Experiment(model=MLP(widths=[8], latent=4), train=Train(epochs=1, batch_size=64))


def test_other_data_are_not_trained_on_in_the_same_folder(tmp_path):
    one, other = data.load(Data()), data.load(Data(seed=1))
    training.train(QUICK, one, tmp_path)
    with pytest.raises(CheckpointError, match=r"belongs to another training: expected config \w+ with seed 0 on data"):
        training.train(QUICK, other, tmp_path, resume=True)
    assert training.train(QUICK, one, tmp_path, resume=True).epochs == 1


def test_a_complete_seed_of_other_data_is_not_given_for_these(tmp_path):
    labels = [number % 10 for number in range(200)]
    for name, seed in (("one", 0), ("other", 1)):
        fixtures.write_idx(tmp_path / name, labels, labels, seed=seed)
    experiment = replace(QUICK, data=Data(name="mnist"))
    places = [Locations(tmp_path / name, tmp_path / "runs", str(tmp_path / "runs/ndg.db")) for name in ("one", "other")]
    first = train_many.run_seeds(experiment, [0], places[0], executor="serial")[0]
    assert first.record is not None
    again = train_many.run_seeds(experiment, [0], places[0], executor="serial", resume=True)[0]
    assert again.record.id == first.record.id
    wrong = train_many.run_seeds(experiment, [0], places[1], executor="serial", resume=True)[0]
    assert wrong.record is None
    assert "was trained on other data than" in wrong.reason


def test_pretrained_folders_of_one_name_are_told_apart():
    digests = {
        Experiment(model=replace(QUICK.model, name="mlp"), data=Data(tokenizer=place)).training_digest
        for place in (None, "/a/model", "/b/model")
    }
    assert len(digests) == 3


def test_an_example_left_over_does_not_stand_alone(tmp_path):
    splits = data.load(Data(limit=65))
    size = len(splits.train) - 1
    quick = replace(QUICK, model=ResNet(width=4, blocks=[1, 1, 1, 1]), train=Train(epochs=1, batch_size=size))
    assert (
        training.train(quick, splits, tmp_path).epochs == 1
    )  # batch norm of one example on 1 x 1 maps has no variance
