"""Training: what it reaches, what it leaves on disk, and that a resumed one equals an uninterrupted one."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ndg import atomic, config, data, models, training
from ndg.config import CNN, MLP, Data, Experiment, Train, ViT
from ndg.data.inputs import Form
from ndg.errors import CheckpointError, ConfigError, FailureError, OutputError
from ndg.models import checkpoint
from tests.training.small import Interrupt

FILES = [training.LOG, training.METRICS, training.MODEL, training.STATE]
TINY = Train(epochs=4, batch_size=48, learning_rate=3e-3, shift=0.5, noise=0.1)
SMALL = {
    "mlp": MLP(widths=[24], latent=8, dropout=0.2, latent_noise=0.5),
    "cnn": CNN(channels=[4, 8], width=16, latent=8, dropout=0.2, latent_noise=0.5),
    "vit": ViT(patch=4, width=8, depth=1, heads=2, mlp=16, latent=8, dropout=0.2, latent_noise=0.5),
}


@pytest.fixture(scope="module")
def splits():
    """A few hundred digits, so that an epoch is short."""
    whole = data.load(Data())
    return replace(whole, train=whole.train[:300], validation=whole.validation[:90], test=whole.test[:90])


def experiment(name="mlp", **changes):
    return Experiment(model=SMALL[name], train=replace(TINY, **changes))


def figures(history):
    """Rows without the time that they took."""
    return [
        {key: value for key, value in row.items() if key not in ("seconds", "examples_per_second")} for row in history
    ]


def numpy_state():
    return np.random.get_state()[1].tolist()  # noqa: NPY002  (the global generator is what must not move)


def weights(folder):
    return (folder / training.MODEL).read_bytes()


def state(folder):
    """Weights and optimiser of the last epoch."""
    return checkpoint.read(folder / training.STATE)[0]


@pytest.mark.parametrize("name", SMALL)
def test_a_training_resumed_after_ctrl_c_equals_an_uninterrupted_one_to_the_last_bit(name, splits, tmp_path):
    one = experiment(name)
    whole = training.train(one, splits, tmp_path / "whole")
    for epoch in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            training.train(one, splits, tmp_path / "parts", resume=True, on_epoch=Interrupt(epoch))
        network, _ = training.load_model(tmp_path / "parts")
        assert all(tensor.isfinite().all() for tensor in network.state_dict().values())
    torch.manual_seed(99)
    resumed = training.train(one, splits, tmp_path / "parts", resume=True)

    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    last, expected = state(tmp_path / "parts"), state(tmp_path / "whole")
    assert set(last) == set(expected)
    assert all(torch.equal(last[key], expected[key]) for key in expected)
    assert figures(resumed.history) == figures(whole.history)
    assert (resumed.best_epoch, resumed.test_accuracy) == (whole.best_epoch, whole.test_accuracy)
    assert (resumed.epochs, resumed.validation_accuracy) == (whole.epochs, whole.validation_accuracy)


@pytest.mark.parametrize("write", range(1, 11))
def test_ctrl_c_at_any_write_leaves_a_folder_that_resumes_to_the_same_bits(write, splits, tmp_path, monkeypatch):
    one = experiment(epochs=3)
    whole = training.train(one, splits, tmp_path / "whole")
    real, seen = atomic.write, []

    def stopped(path, content, **settings):
        seen.append(path)
        if len(seen) == write:
            raise KeyboardInterrupt
        return real(path, content, **settings)

    monkeypatch.setattr(atomic, "write", stopped)
    try:
        training.train(one, splits, tmp_path / "parts")
    except KeyboardInterrupt:
        assert len(seen) == write
    monkeypatch.undo()
    resumed = training.train(one, splits, tmp_path / "parts", resume=True)
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert figures(resumed.history) == figures(whole.history)


def test_resuming_a_finished_training_changes_nothing(splits, tmp_path):
    first = training.train(experiment(), splits, tmp_path)
    before = weights(tmp_path)
    again = training.train(experiment(), splits, tmp_path, resume=True, on_epoch=lambda row: pytest.fail("trained"))
    assert again == first
    assert weights(tmp_path) == before


def test_a_row_is_on_disk_when_on_epoch_gets_it(splits, tmp_path):
    seen = []

    def look(row):
        seen.append(row)
        assert checkpoint.read(tmp_path / training.STATE)[1]["history"] == seen
        with (tmp_path / training.METRICS).open() as file:
            rows = list(csv.DictReader(file))
        assert [{key: float(value) for key, value in line.items()} for line in rows] == seen
        assert (tmp_path / training.MODEL).exists()

    result = training.train(experiment(), splits, tmp_path, on_epoch=look)
    assert result.history == seen
    assert [row["epoch"] for row in seen] == [1, 2, 3, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_the_best_epoch_has_the_highest_validation_accuracy_ties_by_loss_and_is_what_is_tested(splits, tmp_path):
    restless = replace(experiment(epochs=12, learning_rate=5e-2, schedule="constant"), seed=2)
    result = training.train(restless, splits, tmp_path)
    expected = min(result.history, key=lambda row: (-row["validation_accuracy"], row["validation_loss"], row["epoch"]))
    assert result.best_epoch == expected["epoch"]
    network, loaded = training.load_model(tmp_path)
    assert training.evaluate(network, splits.validation) == (
        expected["validation_loss"],
        expected["validation_accuracy"],
    )
    assert result.validation_accuracy == expected["validation_accuracy"]
    assert result.test_accuracy == training.evaluate(network, splits.test)[1]
    assert result.examples == {"train": 300, "validation": 90, "test": 90}
    assert loaded == restless
    assert result.seconds == sum(row["seconds"] for row in result.history)

    last = {
        name.removeprefix("model/"): tensor for name, tensor in state(tmp_path).items() if name.startswith("model/")
    }
    checkpoint.fill(network, last, tmp_path)
    assert training.evaluate(network, splits.test)[1] != result.test_accuracy, (
        "the last epoch must not be the best here"
    )


def test_training_stops_after_patience_epochs_without_a_better_one(splits, tmp_path):
    frozen = experiment(epochs=50, patience=2, learning_rate=1e-30, weight_decay=0.0)
    result = training.train(frozen, splits, tmp_path)
    assert (result.best_epoch, result.epochs) == (1, 3)


def test_a_short_training_of_the_real_mlp_learns_digits(tmp_path):
    settings = Train(epochs=25, batch_size=32, learning_rate=3e-3)
    result = training.train(Experiment(train=settings), data.load(Data()), tmp_path)
    assert result.validation_accuracy > 0.9
    assert result.test_accuracy > 0.9
    assert result.history[-1]["loss"] < result.history[0]["loss"]


@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn"])
def test_the_shipped_configs_reach_the_accuracy_that_is_promised(name, tmp_path):
    shipped = config.load(config.find(name))
    assert shipped.name == name
    assert training.train(shipped, data.load(shipped.data), tmp_path).test_accuracy >= 0.97


def test_seeds_change_the_training_and_nothing_else_does(splits, tmp_path):
    torch.manual_seed(1)
    training.train(experiment(epochs=1), splits, tmp_path / "a")
    torch.manual_seed(2)
    training.train(experiment(epochs=1), splits, tmp_path / "b")
    training.train(replace(experiment(epochs=1), seed=1), splits, tmp_path / "c")
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    a, c = state(tmp_path / "a"), state(tmp_path / "c")
    assert not torch.equal(a["model/encoder.fc1.weight"], c["model/encoder.fc1.weight"])


@pytest.mark.parametrize("name", SMALL)
def test_the_callers_generators_threads_and_gradient_mode_stay_as_they_were(name, splits, tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state(), numpy_state(), torch.get_num_threads()
    with torch.no_grad():
        with pytest.raises(KeyboardInterrupt):
            training.train(experiment(name, threads=2), splits, tmp_path, on_epoch=Interrupt(1))
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert numpy_state() == before[1]
    assert torch.get_num_threads() == before[2]


def test_only_training_images_are_augmented(splits, tmp_path, monkeypatch):
    pixels = {
        name: set(splits[name].inputs.batch().flatten(1).sum(1).tolist()) for name in ("train", "validation", "test")
    }
    seen: dict[bool, list[torch.Tensor]] = {True: [], False: []}
    build = models.build

    def watched(*arguments):
        network = build(*arguments)
        network.register_forward_pre_hook(lambda module, inputs: seen[module.training].append(inputs[0].clone()))
        return network

    monkeypatch.setattr(models, "build", watched)
    training.train(experiment(epochs=2), splits, tmp_path)
    trained, judged = (torch.cat(seen[mode]).flatten(1).sum(1).tolist() for mode in (True, False))
    assert len(trained) == 2 * 300
    assert not pixels["train"] & set(trained)
    assert set(judged) == pixels["validation"] | pixels["test"]
    first, second = torch.cat(seen[True]).split(300)
    assert not torch.equal(first, second)


def test_every_epoch_and_seed_walks_all_examples_in_an_order_of_its_own(splits, tmp_path, monkeypatch):
    seen: list[torch.Tensor] = []
    build = models.build

    def watched(*arguments):
        network = build(*arguments)
        network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]) if module.training else None)
        return network

    monkeypatch.setattr(models, "build", watched)
    plain = experiment(epochs=2, shift=0.0, noise=0.0)
    for seed in (0, 1):
        training.train(replace(plain, seed=seed), splits, tmp_path / str(seed))
    walks = [walk.flatten(1) for walk in torch.cat(seen).split(300)]
    orders = [tuple(map(tuple, walk.tolist())) for walk in walks]
    assert len(set(orders)) == 4
    assert len({tuple(sorted(order)) for order in orders}) == 1


def test_a_loss_that_is_not_finite_names_the_epoch_and_keeps_the_last_good_checkpoint(splits, tmp_path):
    message = r"loss is (nan|inf) in epoch 1 \(learning rate .*there is no good epoch to keep.*lower"
    with pytest.raises(FailureError, match=message):
        training.train(experiment(learning_rate=1e38, warmup=0.0, clip=1e38), splits, tmp_path / "at once")
    assert not (tmp_path / "at once" / training.MODEL).exists()

    kept: list[bytes] = []

    def spoil(row):
        kept.append(weights(tmp_path))
        if row["epoch"] == 2:
            splits.train.inputs.values[7] = math.nan

    with pytest.raises(FailureError, match=r"loss is nan in epoch 3 .*; epoch \d is kept in .*model\.safetensors"):
        training.train(experiment(), splits, tmp_path, on_epoch=spoil)
    splits.train.inputs.values[7] = data.load(Data()).train.inputs.values[7]
    assert weights(tmp_path) == kept[-1]


def test_a_folder_that_holds_another_training_is_refused(splits, tmp_path):
    training.train(experiment(epochs=1), splits, tmp_path)
    with pytest.raises(CheckpointError, match="already holds a training; resume it or train in another folder"):
        training.train(experiment(epochs=1), splits, tmp_path)
    other = replace(experiment(epochs=1), seed=3)
    with pytest.raises(
        CheckpointError, match=r"another training: expected config \w+ with seed 3 on .*, got .* with seed 0"
    ):
        training.train(other, splits, tmp_path, resume=True)
    with pytest.raises(CheckpointError, match=r"another training: expected config"):
        training.train(experiment(epochs=2), splits, tmp_path, resume=True)


def test_a_truncated_state_is_refused_and_left_as_it_is(splits, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        training.train(experiment(), splits, tmp_path, on_epoch=Interrupt(1))
    path = tmp_path / training.STATE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"resume\.safetensors must be a whole safetensors file; it is truncated"):
        training.train(experiment(), splits, tmp_path, resume=True)


@pytest.mark.parametrize("at", [0.1, 0.5, 0.97])
def test_a_flipped_bit_of_a_state_is_refused_before_anything_is_written(at, splits, tmp_path):
    training.train(experiment(epochs=1), splits, tmp_path)
    state = tmp_path / training.STATE
    content = bytearray(state.read_bytes())
    content[int(at * len(content))] ^= 4
    state.write_bytes(content)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=r"resume\.safetensors must be a whole safetensors file; it is .*damaged"):
        training.train(experiment(epochs=1), splits, tmp_path, resume=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_data_of_another_number_of_classes_cannot_be_resumed_on(splits, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        training.train(experiment(), splits, tmp_path, on_epoch=Interrupt(1))
    eleven = replace(splits, class_names=(*splits.class_names, "10"))
    with pytest.raises(CheckpointError, match=r"another training: .* on data \w+, got .* on data \w+; resume with"):
        training.train(experiment(), eleven, tmp_path, resume=True)


def test_a_network_of_a_version_whose_experiments_had_a_store_loads(tmp_path):
    network, older = (
        models.build(SMALL["mlp"], (1, 8, 8), 4, seed=0),
        {**experiment().to_dict(), "store": {"uri": None}},
    )
    form = Form.of((1, 8, 8))
    checkpoint.save(tmp_path / training.MODEL, network, SMALL["mlp"], form, 4, {"experiment": older})
    assert training.load_model(tmp_path)[1] == experiment()


def test_a_model_without_an_experiment_is_refused(tmp_path):
    network = models.build(SMALL["mlp"], (1, 8, 8), 4, seed=0)
    checkpoint.save(tmp_path / training.MODEL, network, SMALL["mlp"], Form.of((1, 8, 8)), 4, {})
    with pytest.raises(CheckpointError, match="must name its experiment; got model, form, classes"):
        training.load_model(tmp_path)


def test_a_folder_that_cannot_be_made_and_a_device_that_is_not_there_are_errors(splits, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be created"):
        training.train(experiment(), splits, tmp_path / "file" / "run")
    with pytest.raises(ConfigError, match=r"a device is cpu or cuda; got 'gpu'"):
        training.train(experiment(), splits, tmp_path / "run", device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="cuda needs a GPU that torch can see"):
            training.train(experiment(), splits, tmp_path / "run", device="cuda")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("watched", [True, False])
def test_a_bar_shows_loss_and_accuracy_to_a_person_and_is_quiet_otherwise(
    splits, tmp_path, monkeypatch, capsys, watched
):
    monkeypatch.setattr("ndg.progress.visible", lambda: watched)
    result = training.train(experiment(epochs=2), splits, tmp_path)
    shown = capsys.readouterr()
    assert shown.out == ""
    if watched:
        row = result.history[-1]
        assert f"loss {row['loss']:.4f}, validation accuracy {row['validation_accuracy']:.4f}" in shown.err
        assert "epoch 1/2" in shown.err
        assert "epoch 2/2" in shown.err
        assert "/300 [" in shown.err
        assert "example/s" in shown.err
        assert "left" in shown.err
    else:
        assert shown.err == ""
