"""A layer whose output the network does not read is refused by every method that follows the logits."""

import numpy as np
import pytest
import torch
from torch import nn

from ndg.errors import LayerError
from ndg.importance.score import score


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
