"""Values that scores refuse or name: baselines, settings, overwritten outputs, logits that are no numbers."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg.errors import ConfigError, LayerError, ShapeError
from ndg.gradients.tape import Tape
from ndg.importance.score import score
from ndg.importance.settings import ScoreSettings, Settings


def test_values_that_a_network_overwrites_are_named():
    class Overwritten(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(3, 3)

        def forward(self, x):
            h = self.dense(x).sigmoid()
            y = h.sigmoid()
            y.mul_(2)
            return y

    with pytest.raises(LayerError, match="'dense' need values that the network has overwritten"):
        score(Overwritten(), [torch.randn(4, 3)], "dense")


def test_values_that_a_network_overwrites_before_the_layer_are_named():
    class Overwritten(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.out = nn.Linear(3, 3), nn.Linear(3, 2)

        def forward(self, x):
            h = self.dense(x)
            h.relu_()
            y = self.out(h.sigmoid())
            h.mul_(2)
            return y + h[:, :2]

    with pytest.raises(LayerError, match="this one has overwritten some in place"):
        score(Overwritten(), [torch.randn(4, 3)], "out", "conductance")
    for method in ("gndi", "integrated"):  # their gradients end at the layer
        assert np.isfinite(score(Overwritten(), [torch.randn(4, 3)], "out", method)["out"]).all()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"target": True}, "target must be a class of the network, a whole number; got True"),
        ({"target": torch.tensor([0, 1])}, r"a whole number; got tensor\(\[0, 1\]\)"),
        ({"target": torch.tensor(0.5)}, "a whole number; got tensor"),
        ({"baselines": float("nan")}, "baselines are a known neutral state, a number, or tensors, all finite; got nan"),
        ({"baselines": float("inf")}, "all finite; got inf"),
        ({"baselines": torch.tensor([0.0, torch.inf])}, "all finite; got one with NaN or infinity"),
        ({"baselines": {"a": torch.zeros(2), "b": torch.tensor([torch.nan])}}, "all finite; got one with NaN"),
    ],
)
def test_settings_that_mean_nothing_are_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        Settings(**setting)


def test_a_baseline_of_an_input_that_there_is_not_is_refused():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    message = "baselines are of inputs that move; got '0'; this network has one unnamed input: give a tensor"
    with pytest.raises(ConfigError, match=message):
        score(model, [torch.randn(4, 3)], "0", "conductance", settings=ScoreSettings(baselines={"0": torch.zeros(4)}))


def test_a_baseline_for_one_of_several_inputs_is_given_by_name():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = nn.Linear(3, 2)

        def forward(self, a, b):
            return self.dense(a) + b

    batch = {"a": torch.randn(4, 3), "b": torch.randn(4, 2)}
    with pytest.raises(ShapeError, match="for 'b'; give such a tensor, tensors by name, a number, 'zero' or 'mean'"):
        score(Sum(), [batch], "dense", "conductance", settings=ScoreSettings(baselines=torch.zeros(3)))
    by_name = {"a": torch.zeros(3), "b": torch.zeros(2)}
    found, plain = (
        score(Sum(), [batch], "dense", "influence", settings=ScoreSettings(baselines=one)) for one in (by_name, "zero")
    )
    assert found.values["dense"].shape == plain.values["dense"].shape


def test_baselines_by_layer_leave_none_out():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(ConfigError, match="name each that is scored; there is none for '1'"):
        score(model, [torch.randn(4, 3)], ["0", "1"], settings=ScoreSettings(baselines={"0": torch.zeros(4)}))


def test_modules_in_place_of_paths_are_told():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with pytest.raises(LayerError, match=r"layers are paths, .*; got Linear; give its path"):
        score(model, [torch.randn(4, 3)], iter([model[0]]))


@pytest.mark.parametrize("method", ["snip", "grasp"])
def test_one_logit_has_no_cross_entropy(method):
    model, data = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)), [(torch.randn(4, 3), torch.zeros(4).long())]
    with pytest.raises(LayerError, match=f"{method} follows the cross-entropy .* for one logit is 0"):
        score(model, data, "0", method)
    assert score(model, data, "0", "synflow")["0"].any()


class Root(nn.Module):
    """The root of 0 is 0, and infinitely steep: gradients before it are NaN, activations and logits are not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        return self.last(h + (0 * h).sqrt())


@pytest.mark.parametrize(
    ("method", "where"),
    [
        *((name, "at") for name in ("gndi", "gradient", "snip", "grasp", "synflow", "integrated")),
        ("fast_ablation", "behind"),
    ],
)
def test_gradients_that_are_no_numbers_are_told_as_such(method, where):
    data = [(torch.randn(40, 3), torch.zeros(40).long())]
    with pytest.raises(LayerError, match=f"gradients must be numbers; those {where} 'first' are NaN; look for"):
        score(Root(), data, "first", method)
    assert np.isfinite(score(Root(), data, "first", "ablation")["first"]).all()


@pytest.mark.parametrize("method", ["gndi", "ablation", "lrp", "snip"])
def test_steps_are_refused_where_there_is_no_path(method):
    model, data = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), [(torch.randn(4, 3), torch.zeros(4).long())]
    with pytest.raises(ConfigError, match=f"along a path; {method} follows none; got 5; leave it out"):
        score(model, data, "0", method, settings=ScoreSettings(n_steps=5))


def test_synflow_of_a_network_that_asks_for_single_precision():
    class Single(nn.Sequential):
        def forward(self, x):
            return super().forward(x.float()).float()

    parts = nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)
    expected = score(nn.Sequential(*parts), [torch.randn(4, 3)], "0", "synflow")["0"]
    np.testing.assert_allclose(score(Single(*parts), [torch.randn(4, 3)], "0", "synflow")["0"], expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["ablation", "fast_ablation", "shapley", "integrated", "gndi", "conductance"])
def test_units_that_stay_at_zero_score_zero(method):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.constant_(model[0].bias, -100.0)
    found = score(model, [torch.randn(5, 3)], ["1"], method)
    np.testing.assert_array_equal(found["1"], np.zeros(4))


def test_a_unit_resampled_from_itself_does_no_damage():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    np.testing.assert_array_equal(
        score(model, [torch.randn(1, 3)], "0", "ablation", settings=ScoreSettings(baselines="resample"))["0"], 0
    )


@pytest.mark.parametrize(
    "method", ["gndi", "gradient", "gradient_x_activation", "conductance", "influence", "ablation", "fast_ablation"]
)
def test_logits_that_are_no_numbers_are_told(method):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    model[2].bias.data[1] = float("nan")
    with pytest.raises(LayerError, match="unit 1 of 'logits' is NaN at example 0"):
        score(model, [torch.rand(4, 3)], "1", method)


def test_logits_of_a_baseline_that_are_no_numbers_are_told():
    class Shares(nn.Sequential):
        def forward(self, x):
            return super().forward(x / x.sum(dim=1, keepdim=True))

    with pytest.raises(LayerError, match="'logits at the baseline' is NaN"):
        score(
            Shares(nn.Linear(3, 4), nn.Linear(4, 2)),
            [torch.rand(4, 3)],
            "0",
            "conductance",
            settings=ScoreSettings(n_steps=4),
        )


@pytest.mark.parametrize("place", ["module", "function", "leaf", "sum"])
def test_a_tape_without_copies_sees_what_is_written_to(place):
    class Writing(nn.Sequential):
        def forward(self, x):
            h = self[0](x)
            if place == "module":
                h = nn.ReLU(inplace=True)(h)
            elif place == "function":
                h = functional.relu_(h)
            elif place == "sum":
                h += 1
            return self[1](h) if place != "leaf" else self[1](h.neg_())

    torch.manual_seed(0)
    model, examples = Writing(nn.Linear(3, 4), nn.Linear(4, 2)), torch.randn(5, 3)
    found = []
    for copies in (True, False):
        with Tape(model, ["0"], copies=copies) as tape:
            logits = tape.run(examples)
            found.append((logits.detach(), tape["0"], tape.gradients(logits[:, 0])["0"]))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
