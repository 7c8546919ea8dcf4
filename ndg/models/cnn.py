"""Convolutional network of the MNIST experiments of Hu & Tian 2022."""

from __future__ import annotations

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from ndg.config import CNN
from ndg.data.inputs import Form
from ndg.errors import ShapeError
from ndg.models.mlp import dense, joined, latent_input

PUBLISHED = ([32, 64], 128, 32)
"""Channels, width and latents of the network in the paper."""


class ConvNet(nn.Module):
    """Encoder, latents (sigmoid), decoder, on images."""

    latent_layer = "latent"
    second_layer = "decoder.relu2"

    def __init__(self, config: CNN, form: Form, classes: int) -> None:
        super().__init__()
        published = (list(config.channels), config.width, config.latent) == PUBLISHED
        self.title = (
            f"{'CNN of' if published else 'convolutional network after'} Hu & Tian 2022: convolutions "
            f"{joined(config.channels)}, dense {config.width}, {config.latent} sigmoid latents"
        )
        channels, height, width = form.shape
        lost = 2 * len(config.channels)
        if min(height, width) < lost + 2:
            raise ShapeError(
                f"{len(config.channels)} unpadded 3 x 3 convolutions and a pool need images of at least "
                f"{lost + 2} x {lost + 2} pixels; got {height} x {width}; give model.channels fewer entries"
            )
        encoder: list[tuple[str, nn.Module]] = []
        for number, wide in enumerate(config.channels, start=1):
            encoder += [(f"conv{number}", nn.Conv2d(channels, wide, 3)), (f"act{number}", nn.ReLU())]
            channels = wide
        pooled = channels * ((height - lost) // 2) * ((width - lost) // 2)
        encoder += [
            ("pool", nn.MaxPool2d(2)),
            ("flatten", nn.Flatten()),
            *dense([pooled, config.width], config.dropout),
        ]
        encoder += latent_input(config.width, config.latent, config.latent_noise)
        self.encoder = nn.Sequential(OrderedDict(encoder))
        self.latent = nn.Sigmoid()
        decoder = [*dense([config.latent, config.width, config.width]), ("out", nn.Linear(config.width, classes))]
        self.decoder = nn.Sequential(OrderedDict(decoder))

    def forward(self, inputs: Float[Tensor, "example channel height width"]) -> Float[Tensor, "example label"]:
        return self.decoder(self.latent(self.encoder(inputs)))
