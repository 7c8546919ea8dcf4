"""Apoptosis: units leave a network in training for good, its optimiser goes on, and a resumed training is the same."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from ndg import config, models, training
from ndg.compression.curves import coupling
from ndg.compression.surgery import without
from ndg.config import Experiment, ResNet
from ndg.config.schema import Apoptosis
from ndg.errors import CheckpointError, ConfigError, LayerError
from ndg.models import checkpoint
from ndg.training.removal import Removal, carried, due
from ndg.training.step import Learner
from ndg.workflows.apoptosis import Remover
from ndg.workflows.train import train
from tests.training.small import Interrupt, digits, experiment, figures

TAYLOR = Apoptosis(fitness="fitness:measure=taylor", share=0.25)


def weights(folder):
    return checkpoint.read(folder / training.MODEL)[0]


def images():
    splits = digits()
    return replace(splits, train=splits.train[:96])


def residual(**changes):
    changes = {"epochs": 3, **changes}
    return replace(experiment(**changes), model=ResNet(width=4, blocks=[2, 2]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training that loses a quarter of its units after each of three epochs."""
    folder = tmp_path_factory.mktemp("apoptosis")
    return train(experiment(epochs=4, apoptosis=TAYLOR), digits(), folder), folder


def test_units_leave_the_network_for_good_and_the_log_has_its_size(trained):
    result, folder = trained
    network, _ = training.load_model(folder)
    assert [network.encoder.fc1.out_features, network.encoder.pre.in_features] == [11, 11]  # 24, 18, 14, 11
    assert network.decoder.out.in_features == 11
    assert network.encoder.pre.out_features == 4  # 8, 6, 5, 4
    assert network.title.endswith("without 30 units")
    sizes = [row["parameters"] for row in result.history]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == sum(value.numel() for value in network.parameters())
    assert [row["units_removed"] for row in result.history] == [0, 14, 23, 30]
    with (folder / training.METRICS).open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["accuracy_after_removal"] == ""
    assert 0 <= float(rows[1]["accuracy_after_removal"]) <= 1
    assert "30 units removed" in (folder / training.LOG).read_text()


def test_removed_units_are_named_by_their_number_in_the_first_network(trained):
    result, folder = trained
    for layer, units in (("encoder.fc1", 24), ("encoder.pre", 8), ("decoder.fc1", 24)):
        gone = [unit for row in result.removed if row["layer"] == layer for unit in row["units"]]
        assert len(set(gone)) == len(gone)
        assert set(gone) <= set(range(units))
        assert len(gone) == units - training.load_model(folder)[0].get_submodule(layer).out_features
    assert checkpoint.load(folder / training.MODEL)[1]["removed"] == result.removed


def test_a_resumed_training_removes_the_same_units_and_ends_with_the_same_weights(trained, tmp_path):
    result, folder = trained
    one = experiment(epochs=4, apoptosis=TAYLOR)
    for epoch in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            train(one, digits(), tmp_path / str(epoch), on_epoch=Interrupt(epoch))
        resumed = train(one, digits(), tmp_path / str(epoch), resume=True)
        assert resumed.removed == result.removed
        assert figures(resumed.history) == figures(result.history)
        first, second = weights(folder), weights(tmp_path / str(epoch))
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_optimiser_goes_on_with_the_state_of_the_units_that_stay():
    splits, one = digits(), experiment()
    network = models.build(one.model, splits.form, splits.classes, 0)
    for optimizer in ("adamw", "sgd"):
        learner = Learner.of(network, replace(one.train, optimizer=optimizer), torch.device("cpu"))
        learner.step(splits.train[:48].inputs.varied(one.train, torch.Generator()), splits.train[:48].labels, 1e-3)
        groups = coupling(network, splits.train[:8].loader(8)).groups
        smaller, kept = without(network, groups, {"encoder.fc1": np.array([0, 3])})
        rest = carried(learner, Removal(smaller, [], kept))
        stays = [unit for unit in range(24) if unit not in (0, 3)]
        slots = {"adamw": ("exp_avg", "exp_avg_sq"), "sgd": ("momentum_buffer",)}[optimizer]
        for slot in slots:
            before = learner.optimizer.state[network.encoder.fc1.weight][slot]
            assert torch.equal(rest.optimizer.state[rest.network.encoder.fc1.weight][slot], before[stays])
            before = learner.optimizer.state[network.encoder.pre.weight][slot]
            assert torch.equal(rest.optimizer.state[rest.network.encoder.pre.weight][slot], before[:, stays])
            before = learner.optimizer.state[network.decoder.out.weight][slot]
            assert torch.equal(rest.optimizer.state[rest.network.decoder.out.weight][slot], before)
        if optimizer == "adamw":
            assert rest.optimizer.state[rest.network.encoder.fc1.weight]["step"] == 1


def test_the_least_fit_units_go_and_random_ones_are_another_choice(tmp_path):
    splits, one = digits(), experiment(apoptosis=TAYLOR)
    network = models.build(one.model, splits.form, splits.classes, 0)
    with torch.no_grad():
        network.decoder.out.weight[:, [4, 9]] = 0  # nothing reads these
    network.requires_grad_(True)
    removal = Remover(one, splits, network, torch.device("cpu"))(network, 1, [])
    [row] = [row for row in removal.lost if row["layer"] == "decoder.fc1"]
    assert {4, 9} <= set(row["units"])
    other = replace(one, train=replace(one.train, apoptosis=replace(TAYLOR, fitness="random")))
    draws = [Remover(other, splits, network, torch.device("cpu"))(network, epoch, []).lost for epoch in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert [row["units"] for row in draws[0]] != [row["units"] for row in draws[2]]


def test_a_floor_keeps_units_and_layers_can_be_named(tmp_path):
    one = experiment(epochs=4, apoptosis=replace(TAYLOR, share=0.5, floor=0.5, layers=["encoder.fc1"]))
    result = train(one, digits(), tmp_path)
    network, _ = training.load_model(tmp_path)
    assert (network.encoder.fc1.out_features, network.encoder.pre.out_features) == (12, 8)
    assert [row["units_removed"] for row in result.history] == [0, 12, 12, 12]


def test_fitness_is_watched_while_units_leave(tmp_path):
    one = experiment(epochs=3, fitness=True, apoptosis=TAYLOR)
    result = train(one, digits(), tmp_path)
    assert [row["fitness/encoder/relu1/units"] for row in result.history] == [24, 18, 14]
    assert all(row["fitness/encoder/relu1/change_mean"] > 0 for row in result.history)


@pytest.mark.parametrize("fitness", ["magnitude", "random", "fitness:measure=ablation"])
def test_residual_blocks_leave_a_network(fitness, tmp_path):
    one = residual(apoptosis=Apoptosis(fitness=fitness, remove="block", floor=0.0))
    result = train(one, images(), tmp_path)
    gone = [row["block"] for row in result.removed]
    assert len(set(gone)) == 2
    assert set(gone) < {"stages.0.0", "stages.0.1", "stages.1.1"}
    network, _ = training.load_model(tmp_path)
    assert all(isinstance(network.get_submodule(block), torch.nn.Identity) for block in gone)
    assert network.title.endswith(f"without {len(gone)} blocks")


def test_a_resumed_training_removes_the_same_blocks(tmp_path):
    one = residual(apoptosis=Apoptosis(fitness="magnitude", remove="block"))
    whole = train(one, images(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(one, images(), tmp_path / "cut", on_epoch=Interrupt(2))
    resumed = train(one, images(), tmp_path / "cut", resume=True)
    assert resumed.removed == whole.removed
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_removals_are_due_every_so_many_epochs():
    settings = Apoptosis(fitness="magnitude", every=3, start=2)
    assert [epoch for epoch in range(12) if due(settings, epoch)] == [2, 5, 8, 11]
    assert not any(due(replace(settings, fitness=None), epoch) for epoch in range(12))


def test_a_training_without_apoptosis_has_the_same_digest_and_columns_as_before(tmp_path):
    assert Experiment().training_digest == "d4c186f1ed23e5b6"
    changed = replace(Experiment(), train=replace(Experiment().train, apoptosis=TAYLOR))
    assert changed.training_digest != Experiment().training_digest
    [row] = train(experiment(epochs=1), digits(), tmp_path).history
    assert "parameters" not in row


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fitness": "taylr"}, "known method of importance; got 'taylr'"),
        ({"fitness": "degree"}, "degree scores a mined graph"),
        ({"fitness": "fitness:measure=change"}, "compares two; choose another measure"),
        ({"share": 0.01}, "share=0.01 of at most 24 units is none"),
        ({"share": 0.9, "floor": 0.0}, "share=0.9 leaves 1 of 24 in 'encoder.fc1' after epoch 2; take a smaller share"),
        ({"start": 4}, "got start=4 of 4 epochs; start earlier"),
        ({"layers": ["encoder.fc9"]}, "no such layer; nearest: encoder.fc1"),
        ({"remove": "block"}, "DenseNet has none; take remove=unit"),
    ],
)
def test_what_cannot_be_removed_is_refused_before_the_first_epoch(changes, message, tmp_path):
    with pytest.raises((ConfigError, LayerError), match=message):
        train(experiment(epochs=4, apoptosis=replace(TAYLOR, **changes)), digits(), tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_shares_outside_their_interval_are_refused_by_the_config():
    for word in ("share=0", "share=1", "share=-0.5", "floor=1", "every=0", "remove=layer", "scope=some"):
        with pytest.raises(ConfigError, match=rf"train\.apoptosis\.{word.partition('=')[0]} must be"):
            config.load({}, [f"train.apoptosis.{word}"])


def test_a_training_without_its_remover_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"call ndg\.train, which passes it"):
        training.train(experiment(epochs=2, apoptosis=TAYLOR), digits(), tmp_path)


def test_a_damaged_list_of_removed_units_is_refused(trained, tmp_path):
    tensors, about = checkpoint.read(trained[1] / training.MODEL)
    for removed, message in (([3], "must list its removed units"), ([{"block": "nothing"}], "there is no 'nothing'")):
        checkpoint.write(tmp_path / "model.safetensors", tensors, {**about, "removed": removed})
        with pytest.raises(CheckpointError, match=message):
            checkpoint.load(tmp_path / "model.safetensors")
