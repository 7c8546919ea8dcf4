"""Fitness of neurons: equal to its definitions, and a training that is watched is the same training."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ndg import config, models, training
from ndg.config import Experiment
from ndg.errors import ConfigError, DataError, LayerError
from ndg.importance.fitness.measure import MEASURES, KnownWeights, fitness
from ndg.importance.fitness.monitor import Watch, watched
from ndg.importance.weights.incoming import leading, weights_of
from ndg.models import checkpoint
from ndg.options import RunOptions
from ndg.workflows.train import train
from tests.importance.test_gndi import Halves
from tests.references import fitness as reference
from tests.training.small import Interrupt, digits, experiment, figures, sentences


def conv() -> Halves:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU())
    head = nn.Sequential(nn.Conv2d(5, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(64, 3))
    return Halves(encoder, head)


def examples(size: int = 30, batch: int = 30) -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(3)
    x, y = torch.randn(size, 1, 8, 8), torch.randint(0, 3, (size,))
    return [(x[i : i + batch], y[i : i + batch]) for i in range(0, size, batch)]


def test_every_measure_equals_its_definition():
    model = conv().eval()
    [(x, y)] = examples()
    found = fitness(model, examples(), ["encoder.2", "head.1"]).values["encoder.2"]
    for unit, figures_of in enumerate(reference.of_layer(model.encoder, model.head, x, y)):
        for name, value in figures_of.items():
            assert found[name][unit] == pytest.approx(value, rel=1e-5, abs=1e-9), name
    weights = model.encoder[0].weight.detach().double().flatten(1)
    np.testing.assert_allclose(found["weights"], weights.norm(dim=1))
    readers = model.head[0].weight.detach().double().transpose(0, 1).flatten(1)
    np.testing.assert_allclose(found["outgoing"], readers.norm(dim=1))


def test_the_loaders_batches_and_the_compute_batch_do_not_change_it():
    many = [
        fitness(conv(), examples(batch=size), ["encoder.2"], options=RunOptions(batch=some))
        for size, some in ((30, 30), (7, 30), (30, 8))
    ]
    for other in many[1:]:
        for name, values in many[0].values["encoder.2"].items():
            np.testing.assert_allclose(other.values["encoder.2"][name], values, rtol=1e-5, atol=1e-9, err_msg=name)


def test_the_network_is_left_as_it_was():
    model, data = conv().train(), examples()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    fitness(model, data, ["encoder.2"])
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_constant_neuron_has_no_entropy_and_a_silent_one_is_dying():
    model = conv().eval()
    model.encoder[1].bias.data[2] = -100.0
    found = fitness(model, examples(), ["encoder.2"])
    values = found.values["encoder.2"]
    assert values["on"][2] == values["entropy"][2] == values["variance"][2] == values["activation"][2] == 0
    assert found.dying["encoder.2"].tolist() == [False, False, True, False, False]
    assert values["entropy"][0] <= np.log(20)
    assert [row["dying"] for row in found.rows()] == found.dying["encoder.2"].tolist()


def test_composites_are_standardised_by_the_layer_as_training_began():
    model = conv().eval()
    fresh = fitness(model, examples(), ["encoder.2"])
    assert fresh.values["encoder.2"]["composite"].mean() == pytest.approx(0, abs=1e-9)
    again = fitness(model, examples(), ["encoder.2"], fresh=fresh)
    np.testing.assert_allclose(again.values["encoder.2"]["composite"], fresh.values["encoder.2"]["composite"])
    assert again.dying["encoder.2"].sum() == 1  # below the 10 % quantile of five is the lowest
    with torch.no_grad():
        model.encoder[0].weight[1] *= 3  # the norm after it undoes the rest
    grown = fitness(model, examples(), ["encoder.2"], fresh=fresh).values["encoder.2"]
    started = fresh.values["encoder.2"]
    expected = sum(
        weight * (grown[name] - started[name].mean()) / started[name].std()
        for name, weight in (("weights", 0.4), ("gradient", 0.4), ("activation", 0.2))
    )
    np.testing.assert_allclose(grown["composite"], expected)


def test_a_composite_may_have_other_weights_and_terms():
    model, data = conv().eval(), examples()
    own = {"outgoing": 1, "taylor": 0.5}
    fresh = fitness(model, data, ["encoder.2"], composite=own)
    values = fresh.values["encoder.2"]
    expected = sum(w * (values[name] - values[name].mean()) / values[name].std() for name, w in own.items())
    np.testing.assert_allclose(values["composite"], expected)
    watch = Watch(model, model, data, ["encoder.2"], composite=own)
    assert watch(model)["fitness/encoder/2/composite_max"] == pytest.approx(expected.max())
    for name in ("change", "taylr"):
        with pytest.raises(ConfigError, match="a composite of fitness has weights of its terms"):
            fitness(model, data, ["encoder.2"], composite={name: 1.0})


def test_output_correlation_needs_right_and_wrong_predictions():
    model, [(x, y)] = conv().eval(), examples()
    right = model(x).argmax(dim=1) == y
    both = fitness(model, [(x, y)], ["encoder.2"])
    assert (both.examples, both.right, both.columns()["fitness/right"]) == (30, int(right.sum()), int(right.sum()))
    means = model.encoder(x).detach().double().mean(dim=(2, 3))
    expected = means[right].mean(dim=0) - means[~right].mean(dim=0)
    np.testing.assert_allclose(both.values["encoder.2"]["correlation"], expected, rtol=1e-5)
    for side in (right, ~right):
        assert "correlation" not in fitness(model, [(x[side], y[side])], ["encoder.2"]).values["encoder.2"]


class Shuffled(nn.Module):
    """Units that nothing can follow: a sum mixes them before weights read them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.out = nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.softmax(self.act(self.first(x)), dim=1))


def test_a_layer_whose_readers_are_not_found_has_no_outgoing_norm():
    data = [(torch.randn(8, 6), torch.randint(0, 3, (8,)))]
    found = fitness(Shuffled(), data, ["act", "out"])
    assert all("outgoing" not in values for values in found.values.values())
    mixed = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 6), nn.ReLU(), Shuffled())
    values = fitness(mixed, data, ["1", "3", "4.act"]).values
    assert [("outgoing" in values[layer]) for layer in ("1", "3", "4.act")] == [True, True, False]
    np.testing.assert_allclose(values["1"]["outgoing"], mixed[2].weight.detach().double().norm(dim=0))


def test_the_rate_of_change_is_of_each_neurons_own_weights():
    model = conv().eval()
    led = leading(model, examples(), ["encoder.2", "head.1"], 16)
    assert led == {"encoder.2": ["encoder.0.weight"], "head.1": ["head.0.weight"]}
    before = weights_of(model, led)
    with torch.no_grad():
        model.encoder[0].weight[3] *= 1.5
    found = fitness(model, examples(), ["encoder.2"], known=KnownWeights(led, before=before)).values["encoder.2"]
    np.testing.assert_allclose(found["change"], [0, 0, 0, 0.5, 0], atol=1e-7)


class Residual(nn.Module):
    """An activation after a sum has the weights of both branches."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.act, self.out = nn.Linear(6, 4), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.act(self.left(x) + self.right(x)))


def test_branches_that_meet_lead_into_a_layer_together():
    data = [(torch.randn(8, 6), torch.randint(0, 3, (8,)))]
    assert leading(Residual(), data, ["act"], 8) == {"act": ["left.weight", "right.weight"]}
    assert watched(Residual(), data) == ("act",)


def test_fitness_is_scores_and_rows_and_columns():
    found = fitness(conv(), examples(), ["encoder.2", "head.1"])
    scores = found.scores("gradient")
    assert scores.method == "fitness_gradient"
    assert scores.layers == ("encoder.2", "head.1")
    assert len(found.frame()) == 9
    composite, signed = found.scores()["encoder.2"], found.values["encoder.2"]["composite"]
    assert signed.min() < 0 == composite.min()
    assert np.abs(composite).argsort().tolist() == signed.argsort().tolist()  # as scoreboards and pictures rank
    columns = found.columns()
    assert columns["fitness/encoder/2/units"] == 5
    assert columns["fitness/encoder/2/gradient_mean"] == pytest.approx(scores["encoder.2"].mean())
    assert columns["fitness/encoder/2/gradient_max"] == pytest.approx(scores["encoder.2"].max())
    assert columns["fitness/encoder/2/gradient_variance"] == pytest.approx(scores["encoder.2"].var())
    assert "fitness/encoder/2/change_mean" not in columns
    json.dumps(found.to_dict(), allow_nan=False)
    with pytest.raises(LayerError, match="nearest: gradient"):
        found.scores("gradiant")


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(DataError, match="needs the true classes"):
        fitness(conv(), [examples()[0][0]], ["encoder.2"])
    with pytest.raises(DataError, match="at least one example"):
        fitness(conv(), [], ["encoder.2"])
    with pytest.raises(LayerError, match=r"has none; name layers in extract\.layers"):
        watched(nn.Linear(4, 2), [torch.randn(3, 4)])


def weights(folder):
    return checkpoint.read(folder / training.MODEL)[0]


@pytest.mark.parametrize("name", ["mlp", "bert"])
def test_a_watched_training_equals_another_to_the_last_bit(name, tmp_path):
    splits = digits() if name == "mlp" else sentences()
    alone, seen = (
        train(experiment(name, epochs=2, fitness=watching), splits, tmp_path / str(bool(watching)))
        for watching in (False, {"taylor": 1, "ablation": 1})
    )
    first, second = (weights(tmp_path / str(watching)) for watching in (False, True))
    assert all(torch.equal(first[key], second[key]) for key in first)
    kept = [{key: value for key, value in row.items() if not key.startswith("fitness/")} for row in seen.history]
    assert figures(kept) == figures(alone.history)
    assert seen.test_accuracy == alone.test_accuracy
    with (tmp_path / "True" / training.METRICS).open() as file:
        rows = list(csv.DictReader(file))
    names = {key.rpartition("/")[2] for key in rows[0] if key.startswith("fitness/")}
    assert {f"{measure}_{what}" for measure in MEASURES for what in ("mean", "max", "variance")} <= names
    assert {"units", "dying", "seconds"} <= names


def test_a_resumed_training_has_the_same_fitness(tmp_path):
    splits, one = digits(), experiment(epochs=3, fitness=True)
    whole = train(one, splits, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(one, splits, tmp_path / "cut", on_epoch=Interrupt(1))
    resumed = train(one, splits, tmp_path / "cut", resume=True)
    timed = "fitness/seconds"
    assert figures([{k: v for k, v in row.items() if k != timed} for row in resumed.history]) == figures(
        [{k: v for k, v in row.items() if k != timed} for row in whole.history]
    )


def test_a_training_may_be_watched_from_its_middle(tmp_path):
    splits = digits()
    with pytest.raises(KeyboardInterrupt):
        train(experiment(epochs=2), splits, tmp_path, on_epoch=Interrupt(1))
    train(experiment(epochs=2, fitness=True), splits, tmp_path, resume=True)
    with (tmp_path / training.METRICS).open() as file:
        first, second = csv.DictReader(file)
    assert first["fitness/latent/gradient_mean"] == ""
    assert float(second["fitness/latent/gradient_mean"]) > 0


def test_a_training_without_its_monitor_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"call ndg\.train, which passes it"):
        training.train(experiment(epochs=1, fitness=True), digits(), tmp_path)


def test_watching_is_no_part_of_a_training():
    plain = Experiment()
    seen = replace(plain, train=replace(plain.train, fitness=True))
    assert seen.training_digest == plain.training_digest
    assert config.load({"train": {"fitness": True}}).train.fitness
    own = {"weights": 1, "taylor": 0.5}
    assert config.load({"train": {"fitness": own}}).train.fitness == own
    for wrong in ({}, {"weights": 0}, {"weights": -1.0}, {"weights": True}, "yes", 1):
        with pytest.raises(ConfigError, match=r"train\.fitness must be true, false, or weights"):
            config.load({"train": {"fitness": wrong}})


def test_a_config_may_weigh_the_composite(tmp_path):
    one = experiment(epochs=1, fitness={"activation": 2})
    [row] = train(one, digits(), tmp_path / "own").history
    [plain] = train(experiment(epochs=1, fitness=True), digits(), tmp_path / "plain").history
    assert row["fitness/latent/activation_mean"] == plain["fitness/latent/activation_mean"]
    assert row["fitness/latent/composite_mean"] != plain["fitness/latent/composite_mean"]
    with pytest.raises(ConfigError, match="nearest: activation"):
        train(experiment(epochs=1, fitness={"activatoin": 2}), digits(), tmp_path / "wrong")


def test_a_watch_follows_the_layers_asked_for_and_counts_the_same_examples(tmp_path):
    splits = digits()
    by = experiment()
    network, fresh = (models.build(by.model, splits.form, splits.classes, 0) for _ in range(2))
    watch = Watch(network, fresh, splits.train[:50].loader(32), ["latent"])
    columns = watch(network)
    assert watch.layers == ("latent",)
    assert columns["fitness/latent/change_max"] == 0
    assert columns["fitness/latent/composite_mean"] == pytest.approx(0, abs=1e-9)
    again = watch(network)
    assert {k: v for k, v in again.items() if k != "fitness/seconds"} == {
        k: v for k, v in columns.items() if k != "fitness/seconds"
    }
