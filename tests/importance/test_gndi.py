"""G-NDI: exact on nets worked by hand, equal to explicit Jacobians, and the first order of ablation."""

import numpy as np
import pytest
import torch
from torch import nn

from ndg.errors import DataError
from ndg.gradients.tape import Tape
from ndg.importance.score import score
from ndg.importance.settings import ScoreSettings
from ndg.options import RunOptions
from tests.references import importance as reference

BATCH_4 = RunOptions(batch=4)
BATCH_8 = RunOptions(batch=8)
BATCH_2 = RunOptions(batch=2)


class Halves(nn.Module):
    """A network in two halves; the layer between them is `encoder`."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x))


def dense(seed: int = 0, activation: type[nn.Module] = nn.Tanh) -> Halves:
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(5, 7), activation(), nn.Linear(7, 6), activation())
    return Halves(encoder, nn.Sequential(nn.Linear(6, 8), activation(), nn.Linear(8, 3)))


def convolutional(seed: int = 0) -> Halves:
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh())
    return Halves(encoder, nn.Sequential(nn.Conv2d(4, 3, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(48, 5)))


def linear(first: list[list[float]], second: list[list[float]], between: nn.Module) -> Halves:
    halves = Halves(nn.Sequential(nn.Linear(2, 2, bias=False), between), nn.Linear(2, len(second), bias=False))
    halves.encoder[0].weight.data = torch.tensor(first)
    halves.head.weight.data = torch.tensor(second)
    return halves


def test_a_linear_network_by_hand():
    # h = (x0 + x1, 2 x1); logits = (3 h0, 4 h0 - h1). Unit 0 moves them by 5 |h0|, unit 1 by |h1|.
    model = linear([[1.0, 1.0], [0.0, 2.0]], [[3.0, 0.0], [4.0, -1.0]], nn.Identity())
    examples = [(torch.tensor([[1.0, 2.0], [1.0, -3.0]]), torch.tensor([0, 1]))]  # h = (3, 4), (-2, -6)
    scores = score(model, examples, "encoder", options=BATCH_4)
    np.testing.assert_allclose(scores["encoder"], [(15 + 10) / 2, (4 + 6) / 2])
    # whole: (9, 8) and (-6, -2)
    assert scores.whole["encoder"] == pytest.approx((145**0.5 + 40**0.5) / 2)
    assert scores.examples == 2
    assert scores.target == "all logits"
    assert scores.measure == "logits"


def test_one_target_is_the_absolute_effect_on_that_logit():
    model = linear([[1.0, 1.0], [0.0, 2.0]], [[3.0, 0.0], [4.0, -1.0]], nn.Identity())
    examples = [torch.tensor([[1.0, 2.0], [1.0, -3.0]])]
    np.testing.assert_allclose(score(model, examples, "encoder", target=0, options=BATCH_4)["encoder"], [7.5, 0.0])
    one = score(model, examples, "encoder", target=np.int64(1), options=BATCH_4)
    np.testing.assert_allclose(one["encoder"], [10.0, 5.0])
    assert one.target == 1


def test_the_mean_baseline_by_hand():
    # h = (3, 4), (-2, -6): the mean is (0.5, -1), and both examples stand 2.5 and 5 from it.
    model = linear([[1.0, 1.0], [0.0, 2.0]], [[3.0, 0.0], [4.0, -1.0]], nn.Identity())
    examples = [torch.tensor([[1.0, 2.0], [1.0, -3.0]])]
    scores = score(model, examples, "encoder", settings=ScoreSettings(baselines="mean"), options=BATCH_4)
    np.testing.assert_allclose(scores["encoder"], [12.5, 5.0])
    assert scores.baseline == "mean activation"


def test_a_unit_before_a_closed_relu_scores_zero_and_before_an_open_one_does_not():
    model = linear([[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0]], nn.ReLU())
    examples = [torch.tensor([[2.0, -3.0]])]
    np.testing.assert_array_equal(score(model, examples, "encoder.0", options=BATCH_2)["encoder.0"], [2.0, 0.0])


@pytest.mark.parametrize("baseline", ["zero", "mean"])
@pytest.mark.parametrize(("make", "shape"), [(dense, (5,)), (convolutional, (1, 6, 6))])
def test_scores_are_those_of_explicit_jacobians(make, shape, baseline):
    model, inputs = make(), torch.randn(13, *shape)
    scores = score(model, [inputs], "encoder", settings=ScoreSettings(baselines=baseline), options=BATCH_4)
    start = model.encoder(inputs).detach().double().mean(0).float() if baseline == "mean" else None
    units, whole = reference.gndi(model.encoder, model.head, inputs, start)
    np.testing.assert_allclose(scores["encoder"], units, rtol=1e-5)
    assert scores.whole["encoder"] == pytest.approx(whole, rel=1e-5)


def test_passes_are_one_forward_and_one_backward_per_logit():
    model, inputs = dense(), torch.randn(10, 5)
    scores = score(model, [inputs], ["encoder", "encoder.0"], options=BATCH_4)
    assert scores.facts == {"batch": 4, "forward_passes": 3, "backward_passes": 9}
    again = score(model, [inputs], ["encoder"], target=1, settings=ScoreSettings(baselines="mean"), options=BATCH_4)
    assert again.facts == {"batch": 4, "forward_passes": 6, "backward_passes": 3}


def test_gndi_is_ablation_where_the_rest_of_the_network_is_linear():
    torch.manual_seed(1)
    model = Halves(nn.Sequential(nn.Linear(5, 6), nn.ReLU()), nn.Linear(6, 4))
    inputs = torch.randn(9, 5)
    damage = [reference.ablation(model.encoder, model.head, inputs, u).norm(dim=1).mean().item() for u in range(6)]
    np.testing.assert_allclose(
        score(model, [inputs], "encoder", options=BATCH_4)["encoder"], damage, rtol=1e-5, atol=1e-7
    )


class Scaled(nn.Module):
    """Multiplies one unit by `factor`."""

    def __init__(self, unit: int) -> None:
        super().__init__()
        self.unit, self.factor = unit, 1.0

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        scale = torch.ones(h.shape[1], dtype=h.dtype)
        scale[self.unit] = self.factor
        return h * scale


@pytest.mark.parametrize("unit", range(6))
def test_gradients_integrated_along_the_path_of_one_unit_are_its_ablation(unit):
    base = dense(seed=3).double().eval()
    scaled = Scaled(unit)
    model = Halves(nn.Sequential(base.encoder, scaled), base.head)
    inputs = torch.randn(4, 5, dtype=torch.float64)
    full = base.encoder(inputs).detach()[:, unit]
    points, weights = np.polynomial.legendre.leggauss(24)

    effect = torch.zeros(4, 3, dtype=torch.float64)
    with Tape(model, ["encoder"]) as tape:
        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            scaled.factor = float(point)
            logits = tape.run(inputs)
            for target in range(3):
                gradient = tape.gradients(logits[:, target], last=target == 2)["encoder"][:, unit, 0]
                effect[:, target] += weight * gradient * full

    damage = reference.ablation(base.encoder, base.head, inputs, unit)
    np.testing.assert_allclose(effect.numpy(), damage.numpy(), atol=1e-10)


def test_token_ids_are_scored_and_dictionaries_are_passed_by_name():
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.hidden, self.out = nn.Embedding(11, 4), nn.Linear(4, 3), nn.Linear(3, 2)

        def forward(self, input_ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": self.out(self.hidden((self.embedding(input_ids) * mask[..., None]).mean(1)).tanh())}

    model = Words()
    columns = {"input_ids": torch.randint(0, 11, (6, 5)), "mask": torch.ones(6, 5), "labels": torch.zeros(6)}
    assert (score(model, [columns], "hidden", options=BATCH_4)["hidden"] > 0).all()


def test_half_precision_is_scored_in_wider_products():
    model, inputs = dense(), torch.randn(8, 5)
    whole = score(model, [inputs], "encoder", options=BATCH_8)["encoder"]
    half = score(model.bfloat16(), [inputs.bfloat16()], "encoder", options=BATCH_8)["encoder"]
    np.testing.assert_allclose(half, whole, rtol=0.1)
    steep = linear([[300.0, 0.0], [0.0, 1.0]], [[100.0, 1.0]], nn.Identity()).half()
    examples = [
        torch.tensor([[3.0, 1.0], [-3.0, 1.0]], dtype=torch.float16)
    ]  # 90,000 is more than half precision holds
    assert score(steep, examples, "encoder", options=BATCH_2)["encoder"].tolist() == [90_000.0, 1.0]


def test_a_mean_baseline_needs_a_loader_that_can_be_read_twice():
    model = dense()
    with pytest.raises(DataError, match=r"baselines='mean' reads the loader twice, .* pass a list, a DataLoader"):
        score(model, iter([torch.randn(4, 5)]), "encoder", settings=ScoreSettings(baselines="mean"))
    assert score(model, iter([torch.randn(4, 5)]), "encoder", options=BATCH_4).examples == 4
