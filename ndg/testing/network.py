"""A small network and examples for the suite of importance methods."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EXAMPLES, CLASSES = 11, 4


class Network(nn.Module):
    """Small network. Unit `constant` of the latent layer is always 0.75, or 0 if `silent`."""

    latent_layer = "latent"

    def __init__(self, seed: int = 0, constant: int | None = None, silent: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv, self.relu, self.hidden = nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Linear(12, 5)
            self.tanh = nn.Tanh()
            self.dropout, self.before, self.latent = nn.Dropout(0.5), nn.Linear(5, 6), nn.Hardtanh(-1.0, 1.0)
            self.norm, self.out = nn.BatchNorm1d(6), nn.Linear(6, CLASSES)
            self.norm.running_mean, self.norm.running_var = torch.randn(6), torch.rand(6) + 0.5
        bias(self.conv).data += 0.2  # no channel is silent
        if constant is not None:
            self.before.weight.data[constant] = 0
            self.before.bias.data[constant] = 0.0 if silent else 0.75

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.tanh(self.hidden(self.relu(self.conv(x)).flatten(1)))
        logits: Tensor = self.out(self.norm(self.latent(self.before(self.dropout(hidden)))))
        return logits

    def permuted(self, layer: str, order: list[int]) -> Network:
        """The same network with the units of a layer in another order."""
        other, places = Network(), torch.tensor(order)
        other.load_state_dict(self.state_dict())
        if layer == "conv":
            other.conv.weight.data, bias(other.conv).data = self.conv.weight[places], bias(self.conv)[places]
            other.hidden.weight.data = self.hidden.weight.unflatten(1, (3, 4))[:, places].flatten(1)
            return other
        other.before.weight.data, other.before.bias.data = self.before.weight[places], self.before.bias[places]
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(other.norm, name).data = getattr(self.norm, name)[places].data
        other.out.weight.data = self.out.weight[:, places]
        return other


def bias(layer: nn.Conv2d) -> Tensor:
    """The bias of a convolution, which has one."""
    assert layer.bias is not None
    return layer.bias


def examples(n: int = EXAMPLES, seed: int = 0) -> Tensor:
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def labels(inputs: Tensor) -> Tensor:
    """A true class that belongs to the example."""
    return (inputs.flatten(1).double().nan_to_num().sum(dim=1) * 1000).long() % CLASSES


def loader(inputs: Tensor, size: int = 256) -> list[tuple[Tensor, Tensor]]:
    return [(part, labels(part)) for part in inputs.split(size)]
