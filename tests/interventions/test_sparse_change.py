"""A change of one unit carried as a change of one unit: the same logits as with whole tensors, whatever follows."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg.activations.batches import Batch
from ndg.interventions.baselines import Neutrals
from ndg.interventions.partial_forward import PartialForward
from ndg.interventions.sparse_change import OneUnit


class Many(nn.Module):
    """Every operation with a rule, and some without; sums with what the change has reached and with what it has not."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.act, self.norm = nn.Conv2d(2, 6, 3, padding=1), act, nn.BatchNorm2d(6)
        self.beside, self.inner = nn.Conv2d(2, 6, 1), nn.Conv2d(6, 6, 3, padding=1)
        self.strided, self.grouped = nn.Conv2d(6, 4, 3, stride=2, dilation=2, padding=2), nn.Conv2d(4, 4, 1, groups=2)
        self.hidden, self.plain, self.out = nn.Linear(4, 5), nn.Linear(5, 5, bias=False), nn.Linear(5, 3)
        for value in (self.norm.running_mean, self.norm.weight.data, self.norm.bias.data):
            value.normal_()
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.first(x)) + self.beside(x)  # not reached by a change of `first`
        y = self.act(y)
        z = self.inner(y)
        y = functional.relu(y + z, inplace=True)  # reached
        y = 0.5 * functional.avg_pool2d(functional.max_pool2d(y, 2), 1) + 1
        y = self.grouped(functional.gelu(self.strided(y)))
        pooled = functional.adaptive_avg_pool2d(y, 1).flatten(1) + y.amax(dim=(2, 3)) + y.mean(dim=(2, 3))
        return self.out(self.plain(self.hidden(pooled).tanh()).sigmoid())


ACTS = [nn.ReLU(), nn.ReLU(inplace=True), nn.GELU(), nn.SiLU(inplace=True), nn.Hardtanh(), nn.ELU(), nn.LeakyReLU(0.1)]


@pytest.mark.parametrize("act", ACTS, ids=repr)
@pytest.mark.parametrize("layer", ["first", "act", "norm", "beside", "inner", "strided", "grouped", "hidden", "plain"])
def test_logits_are_those_of_whole_tensors(layer, act):
    model = Many(act).eval()
    batch = Batch(0, 5, torch.randn(5, 2, 8, 8), None)
    with PartialForward(model, layer, batch, Neutrals(0.3)) as cut:
        units = cut.differs.shape[1]
        for rows, which in [
            ([0, 1, 2, 3, 4], [1] * 5),  # one unit, every example
            ([0, 1, 2, 3, 4], [0, 0, 1, 1, units - 1]),
            ([4, 2, 2], [1, 1, 2]),
        ]:
            picked, chosen = torch.tensor(rows), torch.zeros(len(rows), units, dtype=torch.bool)
            chosen[torch.arange(len(rows)), torch.tensor(which)] = True
            torch.testing.assert_close(
                cut.run_units(picked, torch.tensor(which)), cut.run(picked, chosen), rtol=1e-4, atol=1e-5
            )
    assert torch.isfinite(model(batch.inputs)).all()


def test_what_follows_one_unit_is_narrow_until_a_layer_spreads_it(monkeypatch):
    model, seen = Many(nn.ReLU()).eval(), []
    monkeypatch.setattr(model.act, "forward", lambda x: seen.append(type(x)) or functional.relu(x))
    monkeypatch.setattr(model.grouped, "forward", lambda x: seen.append(type(x)) or x)
    with PartialForward(model, "first", Batch(0, 4, torch.randn(4, 2, 8, 8), None), Neutrals("zero")) as cut:
        seen.clear()
        cut.run_units(torch.arange(4), torch.zeros(4, dtype=torch.long))
    assert seen == [OneUnit, torch.Tensor] * 2  # a pass that is untouched, and the one with the change
