"""A small vision transformer of the `transformers` package with a head of sigmoid latents.

As for CUB-200 in Hu & Tian 2022, the neurons to look at are the hidden layer of the head.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from ndg.config import ViT
from ndg.data.inputs import Form
from ndg.errors import ShapeError
from ndg.models.mlp import latent_input


def build(config: ViT, form: Form, classes: int) -> nn.Module:
    """A `transformers.ViTForImageClassification` with fresh weights; nothing is downloaded.

    Its head is a dense layer, `classifier.latent` (sigmoid) and the linear `classifier.decoder`; `forward` returns an
    output with `logits`.
    """
    from transformers import ViTConfig, ViTForImageClassification

    channels, height, width = form.shape
    if height % config.patch or width % config.patch:
        raise ShapeError(
            f"model.patch must divide height and width; got patches of {config.patch} on {height} x {width} pixels"
        )
    if config.width % config.heads:
        raise ShapeError(f"model.heads must divide model.width; got {config.heads} heads and width {config.width}")
    settings: dict[str, Any] = {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp,
        "hidden_dropout_prob": config.dropout,
        # the package's 0.02 is meant for widths of many hundreds, and small networks learn slowly from it
        "initializer_range": config.width**-0.5,
        "image_size": (height, width),
        "patch_size": config.patch,
        "num_channels": channels,
        "num_labels": classes,
    }
    network: Any = ViTForImageClassification(ViTConfig(**settings))
    head = [
        *latent_input(config.width, config.latent, config.latent_noise),
        ("latent", nn.Sigmoid()),
        ("decoder", nn.Linear(config.latent, classes)),
    ]
    network.classifier = nn.Sequential(OrderedDict(head))
    network.latent_layer = "classifier.latent"
    network.second_layer = f"vit.encoder.layer.{config.depth - 1}.output.dense"
    return network
