"""What vision transformers share: where their sizes and weights come from, and how images fit them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ndg.config import TransFG, ViT
from ndg.data.inputs import Form
from ndg.errors import ShapeError
from ndg.models import pretrained

POSITIONS = "embeddings.position_embeddings"


@dataclass(frozen=True, eq=False)
class Plan:
    """The settings of `transformers.ViTConfig`, the weights of a pretrained network, and how it wants its pixels.

    `dropout` is that of the head, which has one on a pretrained network alone.
    """

    settings: dict[str, Any]
    weights: dict[str, Tensor] | None = None
    pixels: dict[str, list[float]] | None = None
    dropout: float = 0.0

    @property
    def architecture(self) -> dict[str, Any]:
        """What a checkpoint keeps, so that the network can be built without the pretrained folder."""
        return {"transformer": self.settings, "pixels": self.pixels}


def plan(config: ViT | TransFG, form: Form, architecture: dict[str, Any] | None, stride: int | None = None) -> Plan:
    """From the sizes of a config, a pretrained folder, or the architecture of a checkpoint.

    Position embeddings of a pretrained network are interpolated to the grid of patches of these images; patches begin
    every `stride` pixels, or side by side. Raises ShapeError for images that do not fit the network.
    """
    channels, height, width = form.shape
    if architecture is not None:
        found = Plan(architecture["transformer"], None, architecture["pixels"], config.dropout)
    elif config.pretrained is not None:
        given = pretrained.read(config.pretrained, "vit", config.name)
        seen = pretrained.pixels(config.pretrained, given.settings["num_channels"])
        found = Plan(given.settings, given.weights, seen, config.dropout)
    else:
        found = Plan(_fresh(config, channels, height, width))
    patch, rows = pair(found.settings["patch_size"]), found.settings["num_channels"]
    if rows != channels:
        raise ShapeError(
            f"model.pretrained takes images of {rows} channels; the data have {channels}; "
            "use images of that many, or another pretrained network"
        )
    if found.weights is None:
        return found
    before = grid(pair(found.settings["image_size"]), patch)
    after = grid((height, width), patch, stride)
    weights = {**found.weights, POSITIONS: interpolated(found.weights[POSITIONS], before, after)}
    return replace(found, settings={**found.settings, "image_size": [height, width]}, weights=weights)


def _fresh(config: ViT | TransFG, channels: int, height: int, width: int) -> dict[str, Any]:
    if config.width % config.heads:
        raise ShapeError(f"model.heads must divide model.width; got {config.heads} heads and width {config.width}")
    return {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp,
        "hidden_act": "gelu",
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": 0.0,
        # the package's 0.02 is meant for widths of many hundreds, and small networks learn slowly from it
        "initializer_range": config.width**-0.5,
        "layer_norm_eps": 1e-12,
        "image_size": (height, width),
        "patch_size": config.patch,
        "num_channels": channels,
        "qkv_bias": True,
    }


def grid(image: tuple[int, int], patch: tuple[int, int], stride: int | None = None) -> tuple[int, int]:
    """Rows and columns of patches: side by side, or each `stride` pixels after the one before.

    Raises ShapeError where patches side by side do not fill the image, or the image is smaller than one patch.
    """
    size, (height, width) = spelt(patch), image
    if stride is None:
        if height % patch[0] or width % patch[1]:
            raise ShapeError(
                f"model.patch must divide height and width; got patches of {size} on {height} x {width} pixels; "
                "set data.size or data.crop to a multiple"
            )
        return height // patch[0], width // patch[1]
    if height < patch[0] or width < patch[1]:
        raise ShapeError(f"an image holds at least one patch; got patches of {size} on {height} x {width} pixels")
    return (height - patch[0]) // stride + 1, (width - patch[1]) // stride + 1


def interpolated(
    positions: Float[Tensor, "1 before width"], before: tuple[int, int], after: tuple[int, int]
) -> Float[Tensor, "1 after width"]:
    """Position embeddings for another grid of patches, by bicubic interpolation; the first token keeps its own."""
    if before == after:
        return positions
    own, patches = positions[:, :1], positions[:, 1:]
    maps = patches.reshape(1, *before, -1).permute(0, 3, 1, 2)
    wide = F.interpolate(maps, size=after, mode="bicubic", align_corners=False)
    return torch.cat([own, wide.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def pair(size: int | Iterable[int]) -> tuple[int, int]:
    """Height and width, which are the same where one number is given."""
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width


def spelt(patch: tuple[int, int]) -> str:
    """One number where both are the same."""
    return f"{patch[0]}" if patch[0] == patch[1] else f"{patch[0]} x {patch[1]}"


class Normalise(nn.Module):
    """Pixels in [0, 1] as a pretrained network has learnt to see them: less `mean`, over `std`, channel by channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, pixels: Float[Tensor, "example channel height width"]) -> Float[Tensor, "example c h w"]:
        return (pixels - self.mean) / self.std


def seeing(pixels: dict[str, list[float]] | None) -> nn.Module:
    """The first module of a vision transformer."""
    return nn.Identity() if pixels is None else Normalise(**pixels)
