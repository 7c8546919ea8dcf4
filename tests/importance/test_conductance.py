"""Conductance: exact on nets worked by hand, complete, equal to the paper's definition and to captum's."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.functional import jacobian

from ndg.errors import ConfigError, DataError
from ndg.importance.methods.breakdown import conductance_by_input
from ndg.importance.score import score
from ndg.importance.settings import ScoreSettings
from ndg.options import RunOptions
from tests.references import importance as reference

BATCH_4 = RunOptions(batch=4)
BATCH_2 = RunOptions(batch=2)
BATCH_10 = RunOptions(batch=10)
BATCH_3 = RunOptions(batch=3)


class Halves(nn.Module):
    """A network in two halves; the layer between them is `encoder`."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x))


def dense(activation: type[nn.Module], bias: bool = True, seed: int = 0) -> Halves:
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(5, 9, bias=bias), activation(), nn.Linear(9, 6, bias=bias), activation())
    head = nn.Sequential(nn.Linear(6, 8, bias=bias), activation(), nn.Linear(8, 3, bias=bias))
    return Halves(encoder, head)


def convolutional(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    head = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(128, 10))
    return Halves(encoder, nn.Sequential(*head, nn.Sigmoid(), nn.Linear(10, 4)))


def test_a_linear_network_by_hand():
    # h = (x0 + x1, 2 x1); logits = (3 h0 + h1, 4 h0 - h1): the flow through a unit is weight times activation.
    model = Halves(nn.Linear(2, 2), nn.Linear(2, 2))
    model.encoder.weight.data, model.encoder.bias.data = (
        torch.tensor([[1.0, 1.0], [0.0, 2.0]]),
        torch.tensor([5.0, 6.0]),
    )
    model.head.weight.data = torch.tensor([[3.0, 1.0], [4.0, -1.0]])
    examples = [torch.tensor([[1.0, 2.0], [1.0, -3.0]])]  # h - h(0) = (3, 4), (-2, -6)
    scores = score(
        model, examples, "encoder", "conductance", target=0, settings=ScoreSettings(n_steps=1), options=BATCH_4
    )
    np.testing.assert_allclose(scores["encoder"], [3 * 0.5, -1.0], atol=1e-6)
    other = score(
        model, examples, "encoder", "conductance", target=1, settings=ScoreSettings(n_steps=7), options=BATCH_4
    )
    np.testing.assert_allclose(other["encoder"], [4 * 0.5, 1.0], atol=1e-6)
    assert other.target == 1
    assert other.whole["encoder"] == pytest.approx(3.0)
    assert scores.baseline == "zero input"
    assert scores.measure == "logits"


def test_a_relu_with_a_known_kink():
    # h = relu(x - 1), F = relu(h - 1): of the way to x, F moves from 2 / x on alone, and all of it flows through h.
    model = Halves(nn.Sequential(nn.Linear(1, 1), nn.ReLU()), nn.Sequential(nn.Linear(1, 1), nn.ReLU()))
    for layer in (model.encoder[0], model.head[0]):
        layer.weight.data.fill_(1.0)
        layer.bias.data.fill_(-1.0)
    examples = [torch.tensor([[6.4]])]
    for steps in (30, 300):
        flow = score(model, examples, "encoder", "conductance", settings=ScoreSettings(n_steps=steps), options=BATCH_2)
        # 2 / x = (t + t^3) / 2 at t = 1 / 2, an edge of the steps' intervals: the trapezoid around it nearly halves
        assert flow["encoder"][0] == pytest.approx(4.4, abs=2 / steps**2)
    uneven = score(model, examples, "encoder", "conductance", settings=ScoreSettings(n_steps=101), options=BATCH_2)
    assert uneven["encoder"][0] == pytest.approx(4.4, abs=6.4 / 101)
    assert uneven.facts["completeness"][0]["max"] == pytest.approx(abs(4.4 - uneven["encoder"][0]), abs=1e-6)


@pytest.mark.parametrize(("most", "steps"), [(63, 32), (64, 64), (127, 64)])
def test_steps_are_doubled_up_to_the_most_of_them(monkeypatch, most, steps):
    """The kink above is never complete to the last digit."""
    monkeypatch.setattr("ndg.importance.methods.conductance.MOST_STEPS", most)
    monkeypatch.setattr("ndg.importance.methods.conductance.TOLERANCE", 0.0)
    model = Halves(nn.Sequential(nn.Linear(1, 1), nn.ReLU()), nn.Sequential(nn.Linear(1, 1), nn.ReLU()))
    for layer in (model.encoder[0], model.head[0]):
        layer.weight.data.fill_(1.0)
        layer.bias.data.fill_(-1.0)
    facts = score(model, [torch.tensor([[6.4]])], "encoder", "conductance").facts
    assert (facts["steps"], facts["unfinished"]) == (steps, 1)


def test_an_example_that_changes_nothing_is_complete_at_once(monkeypatch):
    monkeypatch.setattr("ndg.importance.methods.conductance.MOST_STEPS", 64)
    facts = score(dense(nn.Tanh), [torch.zeros(3, 5)], "encoder", "conductance").facts
    assert (facts["steps"], facts["unfinished"], facts["logit_change"]) == (16, 0, 0.0)


def test_the_predicted_class_is_the_default_target():
    model, inputs = dense(nn.Tanh), torch.randn(11, 5)
    predicted = model(inputs).argmax(1)
    assert len(set(predicted.tolist())) > 1
    parts = []
    for target in predicted.unique().tolist():
        chosen = inputs[predicted == target]
        parts.append(
            len(chosen) * score(model, [chosen], "encoder", "conductance", target=target, options=BATCH_4)["encoder"]
        )
    scores = score(model, [inputs], "encoder", "conductance", options=BATCH_4)
    np.testing.assert_allclose(scores["encoder"], sum(parts) / 11, rtol=1e-6, atol=1e-9)
    assert scores.target == "predicted class"


@pytest.mark.parametrize("activation", [nn.Tanh, nn.Sigmoid])
def test_scores_are_those_of_the_definition_summed_over_inputs(activation):
    model, inputs = dense(activation).double(), torch.randn(3, 5, dtype=torch.float64)
    targets = model(inputs).argmax(1).tolist()
    by_definition = reference.conductance(model.encoder, model.head, inputs, targets, steps=200)
    scores = score(model, [inputs], "encoder", "conductance", settings=ScoreSettings(n_steps=200), options=BATCH_4)
    np.testing.assert_allclose(scores["encoder"], by_definition, atol=2e-5 * np.abs(by_definition).max())


@pytest.mark.parametrize("layer", ["encoder.0", "encoder.1", "encoder", "head.0", "head.1"])
def test_the_units_of_a_layer_that_all_paths_cross_add_up_to_the_change_of_the_logit(layer):
    model, inputs = dense(nn.Tanh), torch.randn(10, 5)
    scores = score(model, [inputs], layer, "conductance", settings=ScoreSettings(n_steps=100), options=BATCH_4)
    change = (model(inputs).max(1).values - model(0 * inputs).gather(1, model(inputs).argmax(1)[:, None])[:, 0]).mean()
    assert scores[layer].sum() == pytest.approx(change.item(), abs=2e-4)
    (completeness,) = scores.facts["completeness"]
    assert completeness["layer"] == layer
    assert completeness["mean"] <= completeness["max"] < 1e-3 * scores.facts["logit_change"]


def test_the_error_falls_with_the_square_of_the_steps_where_the_network_is_smooth():
    model, inputs = dense(nn.Tanh).double(), 3 * torch.randn(10, 5, dtype=torch.float64)
    errors = [
        score(model, [inputs], "encoder", "conductance", settings=ScoreSettings(n_steps=steps), options=BATCH_10).facts[
            "completeness"
        ][0]["mean"]
        for steps in (20, 40, 80)
    ]
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_relu_networks_without_biases_are_complete_at_any_number_of_steps():
    model, inputs = dense(nn.ReLU, bias=False).double(), torch.randn(10, 5, dtype=torch.float64)
    for steps in (1, 2, 9):
        scores = score(
            model,
            [inputs],
            ["encoder", "head.1"],
            "conductance",
            settings=ScoreSettings(n_steps=steps),
            options=BATCH_4,
        )
        assert all(row["max"] < 1e-12 for row in scores.facts["completeness"])


def test_a_layer_beside_which_a_path_passes_is_not_complete_and_says_so():
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch, self.out = nn.Linear(5, 5), nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(x + self.branch(x).tanh())

    torch.manual_seed(0)
    scores = score(Residual(), [torch.randn(10, 5)], ["branch", "out"], "conductance", options=BATCH_10)
    by_layer = {row["layer"]: row["mean"] for row in scores.facts["completeness"]}
    assert by_layer["branch"] > 0.1 * scores.facts["logit_change"]
    assert by_layer["out"] < 1e-5 * scores.facts["logit_change"]


def test_the_mean_input_is_a_baseline():
    model, inputs = dense(nn.Tanh), torch.randn(10, 5) + 1
    scores = score(
        model,
        [inputs[:3], inputs[3:]],
        "encoder",
        "conductance",
        target=1,
        settings=ScoreSettings(baselines="mean"),
        options=BATCH_4,
    )
    change = model(inputs)[:, 1].mean() - model(inputs.mean(0, keepdim=True))[0, 1]
    assert scores.whole["encoder"] == pytest.approx(change.item(), abs=1e-4)
    assert scores.baseline == "mean input"
    np.testing.assert_array_equal(
        score(
            model,
            [{"x": inputs}],
            "encoder",
            "conductance",
            target=1,
            settings=ScoreSettings(baselines="mean"),
            options=BATCH_4,
        )["encoder"],
        scores["encoder"],
    )


def captum_conductance(model: nn.Module, layer: nn.Module, inputs: torch.Tensor, steps: int) -> np.ndarray:
    attr = pytest.importorskip("captum.attr")
    targets = model(inputs).argmax(1)
    found = attr.LayerConductance(model, layer).attribute(inputs, baselines=0 * inputs, target=targets, n_steps=steps)
    found = found.detach()
    return (found.flatten(2).sum(2) if found.ndim > 2 else found).mean(0).numpy()


@pytest.mark.parametrize(
    ("network", "steps"),
    [("tanh", 50), ("tanh", 1000), ("relu", 50), ("relu", 250), ("convolutional", 50), ("convolutional", 250)],
)
def test_captum_gives_the_same_numbers_within_its_quadrature_error(network, steps):
    torch.manual_seed(7)
    if network == "convolutional":
        model, inputs = convolutional(), torch.rand(6, 1, 8, 8)
    else:
        model, inputs = dense(nn.Tanh if network == "tanh" else nn.ReLU), torch.randn(6, 5)
    model, inputs = model.double().eval(), inputs.double()
    layers = ["encoder", "encoder.0", "head.0"]
    ours = score(
        model, [inputs], layers, "conductance", settings=ScoreSettings(n_steps=steps), options=RunOptions(batch=6)
    )
    for layer in layers:
        theirs = captum_conductance(model, model.get_submodule(layer), inputs, steps)
        # captum takes the gradient at the left of each step, so its error falls only with 1/steps
        np.testing.assert_allclose(ours[layer], theirs, atol=3 / steps * np.abs(theirs).max())


def test_a_pass_holds_one_batch_whatever_the_number_of_steps():
    model, rows = dense(nn.Tanh), []
    score(model, [torch.randn(10, 5)], "encoder", "activation")  # the network is probed once
    model.register_forward_pre_hook(lambda module, arguments: rows.append(len(arguments[0])))
    scores = score(
        model, [torch.randn(10, 5)], "encoder", "conductance", settings=ScoreSettings(n_steps=30), options=BATCH_4
    )
    assert rows.count(1) == 1  # one that shows which paths cross
    assert set(rows) == {1, 4}
    assert len(rows) == scores.facts["forward_passes"] + 1 == 3 * 32 + 1
    assert scores.facts["backward_passes"] == 3 * 30
    assert scores.facts["steps"] == 30


def test_integers_that_no_embedding_reads_have_no_path_between_them():
    class Names(Halves):
        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            return super().forward(input_ids.float())

    model, ids = Names(nn.Linear(3, 5), nn.Linear(5, 2)), torch.randint(0, 9, (4, 3))
    with pytest.raises(DataError, match=r"needs floats, .* the input has torch.int64 .* or use method='gndi'"):
        score(model, [ids], "encoder", "conductance")
    with pytest.raises(DataError, match=r"input_ids has torch.int64 and no nn.Embedding of Names reads it"):
        score(model, [{"input_ids": ids}], "encoder", "conductance", settings=ScoreSettings(baselines="mean"))


def test_by_input_it_is_the_definition_and_adds_up_to_the_unit():
    torch.manual_seed(2)
    model, inputs = dense(nn.Tanh, seed=2), torch.randn(4, 5)
    targets = model(inputs).argmax(1)
    found = conductance_by_input(model, [inputs], "encoder", settings=ScoreSettings(n_steps=100), options=BATCH_3)[""]
    assert found.shape == (6, 5)
    expected = np.zeros((6, 5))
    for x, target in zip(inputs, targets, strict=True):
        for step in range(100):
            point = (step + 0.5) / 100 * x
            hidden = model.encoder(point[None])[0].detach()
            slope = jacobian(lambda value, c=target: model.head(value[None])[0, c], hidden)
            spread = jacobian(lambda value: model.encoder(value[None])[0], point)
            expected += (slope[:, None] * spread * x).numpy() / 100 / 4
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    whole = score(model, [inputs], "encoder", "conductance", settings=ScoreSettings(n_steps=100))["encoder"]
    np.testing.assert_allclose(found.sum(axis=1), whole, rtol=1e-3, atol=1e-5)
    some = conductance_by_input(
        model, [inputs], "encoder", [4, 1], settings=ScoreSettings(n_steps=100), options=BATCH_3
    )[""]
    np.testing.assert_allclose(some, found[[4, 1]], rtol=1e-5, atol=1e-7)
    with pytest.raises(ConfigError, match=r"units of 'encoder' are 0 to 5; got \[6\]"):
        conductance_by_input(model, [inputs], "encoder", [6])
