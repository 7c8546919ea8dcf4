"""Networks whose units are attention heads, gates, tokens or pixels, and their forward passes by hand.

Every pass gets one example and a change of the values of its units, and gives those values and the logits. Nothing is
computed by modules, hooks or the package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from ndg import models
from ndg.config import ViT

LABELS = 3

Set = Callable[[Tensor], Tensor]
"""Changes the values of an example's units, `[unit, position]`."""


class Vision(nn.Module):
    """Patches, attention of two heads, a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, stride=4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(8, LABELS)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        mixed, _ = self.attention(tokens, tokens, tokens)
        return self.out(self.norm(tokens + 3 * mixed).mean(dim=1))


def heads_by_hand(net: Vision, x: Tensor, change: Set) -> tuple[Tensor, Tensor]:
    """The values of the heads of one example, two heads of 4 numbers at 4 tokens, and the logits when they change."""
    tokens = net.patches(x[None])[0].flatten(1).T
    weights, biases = net.attention.in_proj_weight.chunk(3), net.attention.in_proj_bias.chunk(3)
    query, key, value = (tokens @ w.T + b for w, b in zip(weights, biases, strict=True))
    heads = []
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        scores = query[:, part] @ key[:, part].T / 2.0
        heads.append((scores.softmax(dim=1) @ value[:, part]).flatten())
    before = torch.stack(heads)
    wide = torch.cat([head.reshape(4, 4) for head in change(before)], dim=1)
    mixed = wide @ net.attention.out_proj.weight.T + net.attention.out_proj.bias
    return before, net.out(net.norm(tokens + 3 * mixed).mean(dim=0))


class Reading(nn.Module):
    """A recurrent layer whose last state is read."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = nn.GRU(3, 4, batch_first=True), nn.Linear(4, LABELS)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.gru(x)[0][:, -1])


def gates_by_hand(net: Reading, x: Tensor, change: Set) -> tuple[Tensor, Tensor]:
    """The gates r, z and n of one example at 5 time steps, and the logits when they change.

    A candidate that is not changed follows from the gates that are.
    """

    def run(change: Set | None) -> tuple[Tensor, Tensor]:
        h, steps = torch.zeros(4), []
        wanted = None if change is None else change(torch.full((12, 5), float("nan")))
        for step in range(5):
            inward = net.gru.weight_ih_l0 @ x[step] + net.gru.bias_ih_l0
            onward = net.gru.weight_hh_l0 @ h + net.gru.bias_hh_l0
            gates = (inward + onward)[:8].sigmoid()
            if wanted is not None:
                gates = torch.where(wanted[:8, step].isnan(), gates, wanted[:8, step])
            n = (inward[8:] + gates[:4] * onward[8:]).tanh()
            if wanted is not None:
                n = torch.where(wanted[8:, step].isnan(), n, wanted[8:, step])
            h = (1 - gates[4:]) * n + gates[4:] * h
            steps.append(torch.cat([gates, n]))
        return torch.stack(steps, dim=1), net.out(h)

    return run(None)[0], run(change)[1]


class Pixels(nn.Module):
    """Channels, of which every pixel is a unit."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.out = nn.Conv2d(1, 2, 6), nn.Linear(18, LABELS)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.maps(x).tanh().flatten(1))


def pixels_by_hand(net: Pixels, x: Tensor, change: Set) -> tuple[Tensor, Tensor]:
    before = net.maps(x[None])[0].reshape(18, 1)
    return before, net.out(change(before)[:, 0].tanh())


def vit() -> nn.Module:
    """The vision transformer of `ndg.models`: 5 tokens of 8 numbers, two layers of two heads."""
    return models.build(ViT(patch=4, width=8, depth=2, heads=2, mlp=8, latent=6), (1, 8, 8), LABELS, seed=0)


def norm(module: nn.LayerNorm, tokens: Tensor) -> Tensor:
    centred = tokens - tokens.mean(dim=1, keepdim=True)
    return centred / (centred.square().mean(dim=1, keepdim=True) + module.eps).sqrt() * module.weight + module.bias


def dense(module: nn.Linear, values: Tensor) -> Tensor:
    return values @ module.weight.T + module.bias


def vit_by_hand(net: nn.Module, x: Tensor, change: Set, *, units: str) -> tuple[Tensor, Tensor]:
    """The units of the first layer of the vision transformer for one example, and the logits when they change.

    units: "heads" of 4 numbers at 5 tokens, "tokens" (every number of every token), or "first" (those of one token).
    """
    corners = [(row, column) for row in (0, 4) for column in (0, 4)]
    patches = torch.stack([x[0, row : row + 4, column : column + 4].flatten() for row, column in corners])
    weights = net.vit.embeddings.patch_embeddings.projection
    embedded = patches @ weights.weight.flatten(1).T + weights.bias
    tokens = torch.cat([net.vit.embeddings.cls_token[0], embedded]) + net.vit.embeddings.position_embeddings[0]
    before = torch.empty(0)
    for index, layer in enumerate(net.vit.layers):
        inputs, attention = norm(layer.layernorm_before, tokens), layer.attention
        query, key, value = (dense(part, inputs) for part in (attention.q_proj, attention.k_proj, attention.v_proj))
        parts = [slice(0, 4), slice(4, 8)]
        heads = [(query[:, part] @ key[:, part].T / 2.0).softmax(dim=1) @ value[:, part] for part in parts]
        if index == 0 and units == "heads":
            before = torch.stack([head.flatten() for head in heads])
            heads = [head.reshape(5, 4) for head in change(before)]
        tokens = tokens + dense(attention.o_proj, torch.cat(heads, dim=1))
        inner = dense(layer.mlp.fc1, norm(layer.layernorm_after, tokens))
        tokens = tokens + dense(layer.mlp.fc2, inner * (1 + torch.erf(inner / 2**0.5)) / 2)
        if index == 0 and units == "tokens":
            before = tokens.T
            tokens = change(before).T
        if index == 0 and units == "first":
            before = tokens[0][:, None]
            tokens = torch.cat([change(before).T, tokens[1:]])
    latents = dense(net.classifier.pre, norm(net.vit.layernorm, tokens)[0]).sigmoid()
    return before, dense(net.classifier.decoder, latents)


def mean(values: Tensor) -> Tensor:
    return values.mean(dim=1)


def root_mean_square(values: Tensor) -> Tensor:
    return values.square().mean(dim=1).sqrt()


@dataclass(frozen=True)
class Case:
    """A network, its forward pass by hand, and how a layer of it is read.

    each: every position is a unit of its own; out: the last layer.
    """

    made: Callable[[], nn.Module]
    by_hand: Callable[[nn.Module, Tensor, Set], tuple[Tensor, Tensor]]
    layer: str
    shape: tuple[int, ...]
    readings: dict[str, str] = field(default_factory=dict)
    read: Callable[[Tensor], Tensor] = mean
    each: bool = False
    out: str = "out"


IMAGE, SERIES = (1, 8, 8), (5, 3)


def vit_case(layer: str, units: str, readings: dict[str, str], each: bool = False) -> Case:
    return Case(vit, partial(vit_by_hand, units=units), layer, IMAGE, readings, each=each, out="classifier.decoder")


CASES = {
    "heads": Case(Vision, heads_by_hand, "attention.heads", IMAGE),
    "norms": Case(Vision, heads_by_hand, "attention.heads", IMAGE, {"heads": "norm"}, root_mean_square),
    "gates": Case(Reading, gates_by_hand, "gru.gates", SERIES),
    "pixels": Case(Pixels, pixels_by_hand, "maps", IMAGE, {"channels": "each"}),
    "numbers": Case(Vision, heads_by_hand, "attention.heads", IMAGE, {"heads": "each"}, each=True),
    "steps": Case(Reading, gates_by_hand, "gru.gates", SERIES, {"gates": "each"}, each=True),
    "vit heads": vit_case("vit.layers.0.attention.heads", "heads", {}),
    "vit tokens": vit_case("vit.layers.0", "tokens", {"tokens": "each"}, each=True),
    "vit first token": vit_case("vit.layers.0", "first", {"tokens": "first"}),
}
