"""Small networks of every kind of output, and loaders of their inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES = 3


def conv1d() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 5, 3), nn.BatchNorm1d(5), nn.ReLU(inplace=True), nn.MaxPool1d(2), nn.Flatten(),
        nn.Linear(20, CLASSES),
    )  # fmt: skip


def conv2d() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 6), nn.Sigmoid(),
        nn.Linear(6, CLASSES),
    )  # fmt: skip


def conv3d() -> nn.Module:
    return nn.Sequential(nn.Conv3d(1, 3, 2), nn.Flatten(), nn.Linear(24, CLASSES))


def vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    settings = ViTConfig(
        hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12, image_size=8, patch_size=4,
        num_channels=1, num_labels=CLASSES, attn_implementation="eager",
    )  # fmt: skip
    return ViTForImageClassification(settings)


class Words(nn.Module):
    """Dense layers on each token, then their mean over the tokens that are not padding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.dense = nn.Linear(6, 7)
        self.pooled = nn.Linear(7, 4)
        self.out = nn.Linear(4, CLASSES)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.dense(self.embed(input_ids)).masked_fill(attention_mask[:, :, None] == 0, 0)
        return self.out(self.pooled(hidden.sum(1) / attention_mask.sum(1, keepdim=True)))


def made(build, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build()


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sentences(n: int, tokens: int = 6, left: bool = False) -> dict[str, Tensor]:
    """Word numbers, of lengths 1 to `tokens`, padded on the right or on the left."""
    generator = torch.Generator().manual_seed(2)
    lengths = torch.randint(1, tokens + 1, (n,), generator=generator)
    mask = (torch.arange(tokens)[None, :] < lengths[:, None]).long()
    return {
        "input_ids": torch.randint(0, 11, (n, tokens), generator=generator),
        "attention_mask": mask.flip(1) if left else mask,
    }


def batches(inputs, size: int) -> list:
    """A loader of batches of at most `size` examples."""
    if isinstance(inputs, dict):
        parts = zip(*(column.split(size) for column in inputs.values()), strict=True)
        return [dict(zip(inputs, part, strict=True)) for part in parts]
    return list(inputs.split(size))
