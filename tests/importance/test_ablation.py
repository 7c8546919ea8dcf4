"""Exact ablation: the definition unit by unit, what is skipped, several measures, and any executor."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg.errors import ConfigError, DataError, ShapeError
from ndg.importance.score import score
from ndg.importance.settings import ScoreSettings
from ndg.options import RunOptions


class Residual(nn.Module):
    """Convolutions beside a shortcut, pooled, with functions between the modules."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem, self.norm = nn.Conv2d(2, 5, 3, padding=1), nn.BatchNorm2d(5)
        self.first, self.second = nn.Conv2d(5, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
        self.act, self.hidden, self.out = nn.ReLU(inplace=True), nn.Linear(5, 7), nn.Linear(7, 3)
        self.norm.running_mean, self.norm.running_var = torch.randn(5), torch.rand(5) + 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act(self.norm(self.stem(x)))
        y = functional.relu(y + self.second(self.act(self.first(y))))
        return self.out(self.hidden(y.mean(dim=(2, 3))).relu())


UNITS = {"stem": 5, "first": 4, "second": 5, "hidden": 7}


def data(n: int = 9, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(n, 2, 4, 4, generator=made), torch.randint(0, 3, (n,), generator=made)


def by_hand(model: nn.Module, layer: str, unit: int | slice, inputs: torch.Tensor, rest: torch.Tensor | float = 0.0):
    """Logits with a unit of a layer overwritten, by one full pass."""

    def write(module, arguments, output):
        output = output.clone()
        output[:, unit] = rest if isinstance(rest, float) else rest[:, unit]
        return output

    handle = model.get_submodule(layer).register_forward_hook(write)
    try:
        with torch.no_grad():
            return model(inputs).double()
    finally:
        handle.remove()


@pytest.mark.parametrize("rows", [1, 4, 9, 64])
def test_every_unit_of_every_layer_by_full_passes(rows):
    model, (inputs, labels) = Residual().eval(), data()
    scores = {
        measure: score(model, [(inputs, labels)], UNITS, "ablation", measure=measure, options=RunOptions(batch=rows))
        for measure in ("logits", "loss", "accuracy")
    }
    before = model(inputs).detach().double()
    for layer, units in UNITS.items():
        for unit in [*range(units), slice(None)]:
            after = by_hand(model, layer, unit, inputs)
            losses = [functional.cross_entropy(logits, labels, reduction="none") for logits in (before, after)]
            right = [(logits.argmax(1) == labels).double() for logits in (before, after)]
            expected = {
                "logits": torch.linalg.vector_norm(before - after, dim=1),
                "loss": losses[1] - losses[0],
                "accuracy": right[0] - right[1],
            }
            for measure, found in scores.items():
                got = found.whole[layer] if isinstance(unit, slice) else found[layer][unit]
                assert got == pytest.approx(float(expected[measure].mean()), abs=1e-5)
                if not isinstance(unit, slice):
                    error = float(expected[measure].std()) / 3
                    assert found.errors[layer][unit] == pytest.approx(error, abs=1e-5)


def test_a_target_is_the_logit_that_is_lost():
    model, (inputs, _) = Residual().eval(), data()
    found = score(model, [inputs], "hidden", "ablation", target=2)
    for unit in range(7):
        lost = model(inputs).detach()[:, 2].double() - by_hand(model, "hidden", unit, inputs)[:, 2]
        assert found["hidden"][unit] == pytest.approx(float(lost.mean()), abs=1e-6)


def test_examples_whose_unit_is_neutral_already_are_not_passed():
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Linear(5, 20), nn.ReLU(), nn.Linear(20, 3)), torch.randn(30, 5)
    found = score(model, [inputs], "1", "ablation")
    on = model[:2](inputs) > 0
    assert found.facts["passed"] == int(on.sum()) < found.facts["pairs"] == 600
    assert score(model, [inputs], "0", "ablation").facts["passed"] == 600


@pytest.mark.parametrize("baselines", ["mean", "resample", 0.25])
def test_other_neutral_states(baselines):
    model, (inputs, _) = Residual().eval(), data(9)
    found = score(
        model, [inputs], "second", "ablation", settings=ScoreSettings(baselines=baselines), options=RunOptions(batch=4)
    )
    with torch.no_grad():
        seen = {}
        handle = model.second.register_forward_hook(
            lambda module, arguments, output: seen.update(second=output.clone())
        )
        before = model(inputs).double()
        handle.remove()
    if baselines == "mean":
        rest = seen["second"].mean(dim=0, keepdim=True).expand(9, -1, -1, -1)
        for unit in range(5):
            shift = torch.linalg.vector_norm(before - by_hand(model, "second", unit, inputs, rest), dim=1).mean()
            assert found["second"][unit] == pytest.approx(float(shift), abs=1e-5)
    elif baselines == 0.25:
        for unit in range(5):
            shift = torch.linalg.vector_norm(before - by_hand(model, "second", unit, inputs, 0.25), dim=1).mean()
            assert found["second"][unit] == pytest.approx(float(shift), abs=1e-5)
    else:  # each example's damage is that of one of the others' values
        again = score(
            model,
            [inputs[:4], inputs[4:]],
            "second",
            "ablation",
            settings=ScoreSettings(baselines="resample"),
            options=RunOptions(batch=9),
        )
        np.testing.assert_allclose(again["second"], found["second"], rtol=1e-4, atol=1e-6)
        other = score(
            model,
            [inputs],
            "second",
            "ablation",
            settings=ScoreSettings(baselines="resample"),
            options=RunOptions(seed=1),
        )
        assert not np.allclose(other["second"], found["second"], rtol=1e-3)


def test_a_given_baseline_has_the_shape_of_its_layer():
    model, (inputs, _) = Residual().eval(), data()
    given = torch.linspace(-1, 1, 5)
    found = score(model, [inputs], "second", "ablation", settings=ScoreSettings(baselines=given))
    rest = given[None, :, None, None].expand(9, -1, 4, 4)
    for unit in range(5):
        shift = torch.linalg.vector_norm(
            model(inputs).detach().double() - by_hand(model, "second", unit, inputs, rest), dim=1
        )
        assert found["second"][unit] == pytest.approx(float(shift.mean()), abs=1e-5)
    with pytest.raises(ShapeError, match=r"'second' has 5 units with 16 positions each, .* shape \(6,\); give such"):
        score(model, [inputs], "second", "ablation", settings=ScoreSettings(baselines=torch.zeros(6)))


def test_positions_of_a_channel_one_by_one():
    model, (inputs, _) = Residual().eval(), data(3)
    found = score(model, [inputs], "second", "ablation", settings=ScoreSettings(each_position=True))["second"].reshape(
        5, 16
    )
    before = model(inputs).detach().double()
    for unit, place in [(0, 0), (2, 7), (4, 15)]:

        def write(module, arguments, output, unit=unit, place=place):
            output = output.clone()
            output.flatten(2)[:, unit, place] = 0
            return output

        handle = model.second.register_forward_hook(write)
        shift = torch.linalg.vector_norm(before - model(inputs).detach().double(), dim=1).mean()
        handle.remove()
        assert found[unit, place] == pytest.approx(float(shift), abs=1e-5)


def test_serial_ray_and_a_journal_give_the_same_numbers(tmp_path):
    model, (inputs, labels) = Residual().eval(), data(12)
    plain = score(model, [(inputs, labels)], UNITS, "ablation", measure="loss", options=RunOptions(batch=5))
    kept = tmp_path / "kept.jsonl"
    for executor in ("serial", "ray"):
        found = score(
            model,
            [(inputs, labels)],
            UNITS,
            "ablation",
            measure="loss",
            options=RunOptions(batch=5, executor=executor, journal=kept if executor == "serial" else None),
        )
        assert found.to_dict() == plain.to_dict()
    lines = kept.read_bytes().splitlines(keepends=True)
    kept.write_bytes(b"".join(lines[: len(lines) // 2]) + b'{"task":')  # as a killed process leaves it
    again = score(
        model, [(inputs, labels)], UNITS, "ablation", measure="loss", options=RunOptions(batch=5, journal=kept)
    )
    assert again.to_dict() == plain.to_dict()
    assert len(kept.read_bytes().splitlines()) == len(lines)


def test_what_cannot_be_measured_is_refused():
    model, (inputs, _) = Residual().eval(), data()
    with pytest.raises(ConfigError, match="damage is measured in logits, loss, accuracy; got 'los'"):
        score(model, [inputs], "hidden", "ablation", measure="los")
    with pytest.raises(DataError, match="damage in loss needs the true classes; the loader gives inputs alone"):
        score(model, [inputs], "hidden", "ablation", measure="loss")
    with pytest.raises(ConfigError, match="target must be a class of the network, 0 to 2; got 3"):
        score(model, [inputs], "hidden", "ablation", target=3)
    with pytest.raises(ConfigError, match="an option of ablation is one of its own; got 'measures'; nearest: measure"):
        score(model, [inputs], "hidden", "ablation", measures="loss")
