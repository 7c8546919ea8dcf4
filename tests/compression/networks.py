"""Small networks of the tests of compression."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ndg.config import CNN, GRU, LSTM, MLP, ResNet, ViT
from ndg.data.inputs import Form
from ndg.models import build

TOKENS = Form("text", (9,), 50, 0)


class SelfAttention(nn.Module):
    """Attention of torch on tokens, a norm, a dense layer."""

    def __init__(self, heads: int = 4, need_weights: bool = False) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, heads, batch_first=True)
        self.norm, self.out, self.need_weights = nn.LayerNorm(16), nn.Linear(16, 5), need_weights

    def forward(self, tokens: Tensor) -> Tensor:
        mixed = self.attention(tokens, tokens, tokens, need_weights=self.need_weights)[0]
        return self.out(self.norm(tokens + mixed).mean(1))


class Gated(nn.Module):
    """A product of two dense layers, as in transformers of today."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up, self.down, self.out = nn.Linear(8, 20), nn.Linear(8, 20), nn.Linear(20, 8), nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.out(functional.relu(self.down(functional.silu(self.gate(inputs)) * self.up(inputs))))


class Depthwise(nn.Module):
    """A convolution per channel between two ordinary ones, strides, dilation and padding."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1, stride=2)
        self.middle = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.norm = nn.BatchNorm2d(6)
        self.last = nn.Conv2d(6, 8, 3, padding="same", dilation=2)
        self.out = nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = functional.silu(self.norm(self.middle(functional.relu(self.first(inputs)))))
        return self.out(functional.relu(self.last(maps)).mean((2, 3)))


class Stacked(nn.Module):
    """A recurrent module of several layers, read at its last states."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(16, 6, num_layers=2, batch_first=True, bidirectional=True)
        self.out = nn.Linear(12, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        _, states = self.rnn(tokens)
        return self.out(torch.cat([states[-2], states[-1]], dim=1))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(16 * 7, 4))


def texts() -> dict[str, Tensor]:
    ids = torch.randint(1, 50, (64, 9))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def network(name: str) -> tuple[nn.Module, Tensor | dict[str, Tensor]]:
    """A network with random weights, in evaluation mode, and 64 inputs."""
    torch.manual_seed(0)
    images, tokens = torch.rand(64, 1, 12, 12), torch.randn(64, 7, 16)
    if name == "mlp":
        return build(MLP(widths=[24, 20], latent=8), (1, 12, 12), 10, 0), images
    if name == "cnn":
        return build(CNN(channels=[6, 8], width=16, latent=8), (1, 12, 12), 10, 0), images
    if name == "resnet":
        return lively(build(ResNet(width=8, blocks=[1, 1]), (3, 8, 8), 10, 0)), torch.rand(64, 3, 8, 8)
    if name == "vit":
        return build(ViT(width=32, depth=2, heads=4, mlp=24, patch=4, latent=8), (1, 12, 12), 10, 0), images
    if name in ("lstm", "gru"):
        kind = LSTM if name == "lstm" else GRU
        return build(
            kind(name=name, bidirectional=True, depth=2, width=12, embedding=8, latent=8), TOKENS, 3, 0
        ), texts()
    makers = {
        "attention": SelfAttention,
        "gated": Gated,
        "depthwise": Depthwise,
        "encoder": encoder,
        "stacked": Stacked,
    }
    inputs = {"gated": torch.randn(64, 8), "depthwise": torch.randn(64, 2, 12, 12)}.get(name, tokens)
    return lively(makers[name]().eval()), inputs


def lively(model: nn.Module) -> nn.Module:
    """The network with norms that look trained."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                value.copy_(torch.rand(len(value)) + 0.5)
    return model.eval()


NETWORKS = ["mlp", "cnn", "resnet", "vit", "lstm", "gru", "attention", "gated", "depthwise", "encoder", "stacked"]
