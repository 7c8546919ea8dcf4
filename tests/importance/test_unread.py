"""A layer whose output the network does not read is refused by every method that follows the logits."""

import numpy as np
import pytest
import torch
from torch import nn

from ndg.errors import LayerError
from ndg.importance.experiments.curves import CurveSettings, ablation_curves
from ndg.importance.experiments.pruning import PruneSettings, prune
from ndg.importance.score import score
from ndg.importance.scores import Scores


class ByState(nn.Module):
    """A GRU that is read through its last state, not through its output."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gru, self.out = nn.GRU(3, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.gru(x)[1][-1])


@pytest.mark.parametrize("method", ["gndi", "conductance", "fast_ablation", "ablation", "shapley", "integrated", "lrp"])
def test_a_gru_read_by_its_state_is_refused(method):
    with pytest.raises(LayerError, match="'gru'"):
        score(ByState().eval(), [torch.randn(20, 5, 3)], "gru", method)
    assert score(ByState().eval(), [torch.randn(20, 5, 3)], "gru.gates", "ablation")["gru.gates"].any()


class Rounded(nn.Module):
    """Units that reach the logits without a gradient, and none when all are at zero."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.dense, self.act, self.out = nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)
        nn.init.constant_(self.dense.bias, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.act(self.dense(x)).round().detach())


@pytest.mark.parametrize("method", ["ablation", "shapley"])
def test_layers_that_reach_the_logits_without_a_gradient_keep_their_zeros(method):
    np.testing.assert_array_equal(score(Rounded(-100.0), [torch.randn(5, 3)], "act", method)["act"], np.zeros(4))
    assert score(Rounded(3.0), [torch.randn(5, 3)], "act", method)["act"].any()


class Aside(nn.Module):
    """A dense layer beside the way to the logits: read times 0, or not read at all."""

    def __init__(self, read: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dense, self.aside, self.out, self.read = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 2), read

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.dense(x)
        aside = self.aside(h)
        return self.out(h) + 0 * aside if self.read else self.out(h)


EXAMPLES = [(torch.randn(8, 3, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 2)]
SCORES = {"own": Scores("own", {"aside": np.array([1.0, 2.0])}, {"aside": 1.0}, "all logits", "zero", 8)}


@pytest.mark.parametrize(
    "method", ["ablation", "shapley", "gndi", "conductance", "fast_ablation", "integrated", "influence", "snip"]
)
def test_a_layer_that_is_multiplied_by_0_scores_0_with_a_warning(method, caplog):
    model = Aside(read=True).eval()
    assert not score(model, EXAMPLES, "aside", method)["aside"].any()
    (message,) = [record.message for record in caplog.records]
    assert message.startswith(
        "a layer on the way to the logits changes them; 'aside' is read, but no bit of the logits"
    )
    assert message.endswith("all its units have importance 0; choose another layer if that is not meant")
    caplog.clear()
    score(model, EXAMPLES, "dense", method)
    assert not caplog.records


@pytest.mark.parametrize("study", [ablation_curves, prune])
def test_curves_and_pruning_refuse_a_layer_that_is_not_read(study, caplog):
    settings = {"ablation_curves": CurveSettings(draws=1), "prune": PruneSettings(draws=1)}[study.__name__]
    with pytest.raises(LayerError, match="'aside' does not reach the logits, of which no bit changed in 8 examples"):
        study(Aside(read=False).eval(), EXAMPLES, SCORES, settings=settings)
    assert not caplog.records
    study(Aside(read=True).eval(), EXAMPLES, SCORES, settings=settings)
    assert "'aside' is read, but no bit of the logits of 8 examples changed" in caplog.text
