"""Vision transformer of `transformers` with a head of latents; parts of `transfg`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ndg.config import ViT
from ndg.data.inputs import Form
from ndg.errors import ShapeError
from ndg.extras import require
from ndg.models import pretrained
from ndg.models.mlp import ending, head, last_dense, origin

POSITIONS = "embeddings.position_embeddings"


@dataclass(frozen=True, eq=False)
class Plan:
    """Settings of `transformers.ViTConfig`, pretrained weights, pixel normalisation, dropout of the head."""

    settings: dict[str, Any]
    weights: dict[str, Tensor] | None = None
    pixels: dict[str, list[float]] | None = None
    dropout: float = 0.0

    @property
    def architecture(self) -> dict[str, Any]:
        """Description for a checkpoint, to build the network without the folder."""
        return {"transformer": self.settings, "pixels": self.pixels}


def plan_transformer(config: ViT, form: Form, architecture: dict[str, Any] | None, stride: int | None = None) -> Plan:
    """Plan from a config, a pretrained folder, or a checkpoint.

    ShapeError for images that do not fit.

    Position embeddings of a pretrained network are interpolated to the patches of these images, every `stride` pixels.
    """
    channels, height, width = form.shape
    if architecture is not None:
        result = Plan(architecture["transformer"], None, architecture["pixels"], config.dropout)
    elif config.pretrained is not None:
        settings, weights = pretrained.read(config.pretrained, "vit", config.name)
        pixels = pretrained.pixels(config.pretrained, settings["num_channels"])
        result = Plan(settings, weights, pixels, config.dropout)
    else:
        result = Plan(_fresh(config, channels, height, width))
    patch, expected_channels = pair(result.settings["patch_size"]), result.settings["num_channels"]
    if expected_channels != channels:
        raise ShapeError(
            f"model.pretrained needs images of {expected_channels} channels; the data have {channels}; "
            "use such images, or another pretrained network"
        )
    if result.weights is None:
        return result
    old_grid = grid(pair(result.settings["image_size"]), patch)
    new_grid = grid((height, width), patch, stride)
    weights = {**result.weights, POSITIONS: interpolated(result.weights[POSITIONS], old_grid, new_grid)}
    return replace(result, settings={**result.settings, "image_size": [height, width]}, weights=weights)


def _fresh(config: ViT, channels: int, height: int, width: int) -> dict[str, Any]:
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
        # the package's 0.02 suits widths of many hundreds; small networks learn slowly from it
        "initializer_range": config.width**-0.5,
        "layer_norm_eps": 1e-12,
        "image_size": (height, width),
        "patch_size": config.patch,
        "num_channels": channels,
        "qkv_bias": True,
    }


def grid(image: tuple[int, int], patch: tuple[int, int], stride: int | None = None) -> tuple[int, int]:
    """Rows and columns of patches, side by side or every `stride` pixels.

    ShapeError for a misfit.
    """
    size, (height, width) = patch_text(patch), image
    if stride is None:
        if height % patch[0] or width % patch[1]:
            raise ShapeError(
                f"model.patch must divide height and width; got patches of {size} on {height} x {width} pixels; "
                "set data.size or data.crop to a multiple"
            )
        return height // patch[0], width // patch[1]
    if height < patch[0] or width < patch[1]:
        raise ShapeError(f"an image must have at least one patch; got patches of {size} on {height} x {width} pixels")
    return (height - patch[0]) // stride + 1, (width - patch[1]) // stride + 1


def interpolated(
    positions: Float[Tensor, "1 before width"], before: tuple[int, int], after: tuple[int, int]
) -> Float[Tensor, "1 after width"]:
    """Position embeddings on another grid (bicubic), but for the first token."""
    if before == after:
        return positions
    first_token, patches = positions[:, :1], positions[:, 1:]
    maps = patches.reshape(1, *before, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(maps, size=after, mode="bicubic", align_corners=False)
    return torch.cat([first_token, resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def pair(size: int | Iterable[int]) -> tuple[int, int]:
    """Height and width, equal for a single number."""
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width


def patch_text(patch: tuple[int, int]) -> str:
    """Size of a patch for reports; one number if square."""
    return f"{patch[0]}" if patch[0] == patch[1] else f"{patch[0]} x {patch[1]}"


class Normalise(nn.Module):
    """Normalise pixels in [0, 1] per channel: subtract `mean`, divide by `std`."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, pixels: Float[Tensor, "example channel height width"]) -> Float[Tensor, "example c h w"]:
        return (pixels - self.mean) / self.std


class PatchClassifier(nn.Module):
    """Base class of networks of normalised pixels, a vision transformer and a head."""

    def __init__(self, config: ViT, plan: Plan, vit: nn.Module, classes: int) -> None:
        super().__init__()
        self.normalise = nn.Identity() if plan.pixels is None else Normalise(**plan.pixels)
        self.vit = vit
        self.classifier, latents = head(config, plan.settings["hidden_size"], classes, plan.dropout)
        self.latent_layer = f"classifier.{latents}"
        self.second_layer = last_dense(vit, "vit")
        if config.pretrained is not None:
            self.pretrained_parts: tuple[str, ...] = ("vit",)
            self.architecture = plan.architecture


class VisionTransformer(PatchClassifier):
    """Vision transformer, then a classifier (latents, logits) on its first token."""

    def __init__(self, config: ViT, plan: Plan, vit: nn.Module, classes: int) -> None:
        super().__init__(config, plan, vit, classes)
        self.title = (
            "vision transformer (Dosovitskiy et al. 2021), without selection of parts, patches of "
            f"{patch_text(pair(plan.settings['patch_size']))}; {ending(config)}, {origin(config.pretrained)}"
        )

    def forward(self, inputs: Float[Tensor, "example channel height width"]) -> Float[Tensor, "example label"]:
        return self.classifier(self.vit(self.normalise(inputs)).last_hidden_state[:, 0])


def build(config: ViT, form: Form, classes: int, architecture: dict[str, Any] | None = None) -> VisionTransformer:
    """Network with fresh weights, or those of a folder.

    ShapeError for images that do not fit.
    """
    plan = plan_transformer(config, form, architecture)
    grid((form.shape[1], form.shape[2]), pair(plan.settings["patch_size"]))
    if config.pretrained is None:
        require("transformers", "a vision transformer")
        from transformers import ViTConfig, ViTForImageClassification

        settings: dict[str, Any] = {**plan.settings, "num_labels": classes}
        vit: nn.Module = ViTForImageClassification(ViTConfig(**settings)).vit  # its unused head draws numbers as well
    else:
        vit = pretrained.transformer("vit", plan.settings)
    if plan.weights is not None:
        vit.load_state_dict(plan.weights)
    return VisionTransformer(config, plan, vit, classes)
