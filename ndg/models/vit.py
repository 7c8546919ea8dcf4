"""Vision transformer of the `transformers` package with a head of latents; see `transfg`."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from ndg.config import ViT
from ndg.data.inputs import Form
from ndg.models import pretrained
from ndg.models.classifier import ending, origin
from ndg.models.patches import PatchClassifier, Plan, grid, pair, patch_text, plan_transformer


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
    """Network with fresh weights, or those of a folder; ShapeError for images that do not fit."""
    plan = plan_transformer(config, form, architecture)
    grid((form.shape[1], form.shape[2]), pair(plan.settings["patch_size"]))
    if config.pretrained is None:
        from transformers import ViTConfig, ViTForImageClassification

        settings: dict[str, Any] = {**plan.settings, "num_labels": classes}
        vit: nn.Module = ViTForImageClassification(ViTConfig(**settings)).vit  # its unused head draws numbers as well
    else:
        vit = pretrained.transformer("vit", plan.settings)
    if plan.weights is not None:
        vit.load_state_dict(plan.weights)
    return VisionTransformer(config, plan, vit, classes)
