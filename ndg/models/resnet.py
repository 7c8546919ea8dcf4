"""Residual networks for small images (He et al. 2016).

Basic blocks with projection shortcuts where the shape changes (option B), a 3 x 3 stem without pooling. The default
settings make the usual ResNet-18 for 32 x 32 pixels, with 11,173,962 parameters for 10 classes. Each ReLU is its own
module, used once.
"""

from __future__ import annotations

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from ndg.config import ResNet
from ndg.data.inputs import Form
from ndg.errors import ShapeError
from ndg.models.mlp import joined

Maps = Float[Tensor, "example channel height width"]

NAMED: dict[tuple[int, ...], str] = {(2, 2, 2, 2): "ResNet-18", (3, 4, 6, 3): "ResNet-34"}
"""Names in the paper of networks of basic blocks, by blocks per stage."""


class ResidualNet(nn.Module):
    """Stem, stages, features (mean of each channel), classifier."""

    latent_layer = "features"

    def __init__(self, config: ResNet, form: Form, classes: int) -> None:
        super().__init__()
        name = NAMED.get(tuple(config.blocks), f"residual network of {joined(config.blocks)} blocks")
        self.title = f"{name} (He et al. 2016) with a 3 x 3 stem, width {config.width}"
        channels, height, width = form.shape
        least = 2 ** (len(config.blocks) - 1)
        if min(height, width) < least:
            raise ShapeError(
                f"{len(config.blocks)} stages, each after the first at half the size, need images of at least "
                f"{least} x {least} pixels; got {height} x {width}; give model.blocks fewer entries"
            )
        self.stem = nn.Sequential(OrderedDict(conv=_conv(channels, config.width), norm=nn.BatchNorm2d(config.width)))
        self.stem.add_module("relu", nn.ReLU())
        stages, narrow = [], config.width
        for number, depth in enumerate(config.blocks):
            wide = config.width * 2**number
            first = Block(narrow, wide, stride=2 if number else 1)
            stages.append(nn.Sequential(first, *(Block(wide, wide) for _ in range(depth - 1))))
            narrow = wide
        self.stages = nn.Sequential(*stages)
        self.features = nn.Sequential(OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten()))
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(narrow, classes)
        self.second_layer = f"stages.{len(config.blocks) - 1}.{config.blocks[-1] - 1}"
        self.apply(_init)

    def forward(self, inputs: Maps) -> Float[Tensor, "example label"]:
        return self.classifier(self.dropout(self.features(self.stages(self.stem(inputs)))))


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, narrow: int, wide: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.norm1, self.relu1 = _conv(narrow, wide, stride), nn.BatchNorm2d(wide), nn.ReLU()
        self.conv2, self.norm2 = _conv(wide, wide), nn.BatchNorm2d(wide)
        self.shortcut = nn.Sequential()
        if stride > 1 or narrow != wide:
            self.shortcut.add_module("conv", nn.Conv2d(narrow, wide, 1, stride, bias=False))
            self.shortcut.add_module("norm", nn.BatchNorm2d(wide))
        self.relu2 = nn.ReLU()

    def forward(self, inputs: Maps) -> Float[Tensor, "example wide rows columns"]:
        inner = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(inputs)))))
        return self.relu2(inner + self.shortcut(inputs))


def _conv(narrow: int, wide: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(narrow, wide, 3, stride, padding=1, bias=False)


def _init(module: nn.Module) -> None:
    """Initialise convolutions before a ReLU (He et al. 2015)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
