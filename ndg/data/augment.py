"""Small random changes of training images that preserve their class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Shaped
from torch import Tensor

from ndg.config import Train

Images = Float32[Tensor, "example channel height width"]


def augment(inputs: Images, settings: Train, generator: torch.Generator) -> Images:
    """Images, each changed independently, with random numbers drawn on the CPU.

    `flip` mirrors half of the images. `pad` adds that many black pixels on every side and crops the old size at a
    random place. `shift` moves by up to that many pixels, fractions included. `erase` paints a grey square of that
    side. `noise` is the standard deviation of Gaussian noise.
    """
    examples, _, height, width = inputs.shape
    if settings.flip:
        flipped = torch.rand(examples, generator=generator) < 0.5
        inputs = torch.where(flipped[:, None, None, None], inputs.flip(3), inputs)
    if settings.pad:
        inputs = random_crop(F.pad(inputs, (settings.pad,) * 4), height, width, generator)
    if settings.shift:
        offsets = (2 * torch.rand(examples, 2, generator=generator) - 1) * settings.shift
        affine = torch.eye(2, 3).repeat(examples, 1, 1)
        affine[:, :, 2] = 2 * offsets / torch.tensor([width, height])  # grids span [-1, 1]
        grid = F.affine_grid(affine, list(inputs.shape), align_corners=False)
        inputs = F.grid_sample(inputs, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if settings.erase:
        inputs = inputs.masked_fill(_squares(examples, height, width, settings.erase, generator), 0.5)
    if settings.noise:
        inputs = (inputs + settings.noise * torch.randn(inputs.shape, generator=generator)).clamp(0, 1)
    return inputs


def centre_crop(
    images: Shaped[Tensor, "example channel height width"], side: int
) -> Shaped[Tensor, "example channel side side"]:
    """Central square of each image."""
    top, left = (images.shape[2] - side) // 2, (images.shape[3] - side) // 2
    return images[:, :, top : top + side, left : left + side]


def random_crop(
    images: Shaped[Tensor, "example channel height width"], height: int, width: int, generator: torch.Generator
) -> Shaped[Tensor, "example channel {height} {width}"]:
    """Window of that size at a random place of each image."""
    examples = len(images)
    top = torch.randint(images.shape[2] - height + 1, (examples, 1, 1), generator=generator)
    left = torch.randint(images.shape[3] - width + 1, (examples, 1, 1), generator=generator)
    rows, columns = top + torch.arange(height)[:, None], left + torch.arange(width)
    chosen = images[torch.arange(examples)[:, None, None], :, rows, columns]  # [example, height, width, channel]
    return chosen.permute(0, 3, 1, 2).contiguous()


def _squares(examples: int, height: int, width: int, side: int, generator: torch.Generator) -> Tensor:
    """Mask of a square in each image, centred anywhere inside."""
    inside = []
    for length in (height, width):
        start = torch.randint(length, (examples, 1), generator=generator) - side // 2
        inside.append((torch.arange(length) >= start) & (torch.arange(length) < start + side))
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
