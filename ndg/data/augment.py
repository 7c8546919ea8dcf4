"""Small random changes of training images that leave their class alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Shaped
from torch import Tensor

Images = Float32[Tensor, "example channel height width"]


@dataclass(frozen=True)
class Augment:
    """What is changed: nothing, unless asked for.

    `flip` turns half of the images left to right. `pad` adds so many black pixels at every side and cuts the old size
    out at a random place. `shift` moves by up to so many pixels, and fractions of one. `erase` paints a square of that
    side grey at a random place. `noise` is the standard deviation of Gaussian noise.
    """

    flip: bool = False
    pad: int = 0
    shift: float = 0.0
    erase: int = 0
    noise: float = 0.0


def augment(inputs: Images, how: Augment, generator: torch.Generator) -> Images:
    """The images, each changed in its own way; with nothing asked nothing is drawn, and they come back as they are.

    A fraction of a pixel moves an image by bilinear interpolation; zeros come in at the border. Noisy pixels are kept
    in [0, 1]. Draws are made on the CPU, in the order flip, pad, shift, erase, noise.
    """
    examples, _, height, width = inputs.shape
    if how.flip:
        turned = torch.rand(examples, generator=generator) < 0.5
        inputs = torch.where(turned[:, None, None, None], inputs.flip(3), inputs)
    if how.pad:
        inputs = _window(F.pad(inputs, (how.pad,) * 4), height, width, generator)
    if how.shift:
        moved = (2 * torch.rand(examples, 2, generator=generator) - 1) * how.shift
        affine = torch.eye(2, 3).repeat(examples, 1, 1)
        affine[:, :, 2] = 2 * moved / torch.tensor([width, height])  # grids span [-1, 1]
        grid = F.affine_grid(affine, list(inputs.shape), align_corners=False)
        inputs = F.grid_sample(inputs, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if how.erase:
        inputs = inputs.masked_fill(_squares(examples, height, width, how.erase, generator), 0.5)
    if how.noise:
        inputs = (inputs + how.noise * torch.randn(inputs.shape, generator=generator)).clamp(0, 1)
    return inputs


def centre_crop(
    images: Shaped[Tensor, "example channel height width"], side: int
) -> Shaped[Tensor, "example channel side side"]:
    """The square of that side in the middle of each image."""
    top, left = (images.shape[2] - side) // 2, (images.shape[3] - side) // 2
    return images[:, :, top : top + side, left : left + side]


def random_crop(
    images: Shaped[Tensor, "example channel height width"], side: int, generator: torch.Generator
) -> Shaped[Tensor, "example channel side side"]:
    """A square of that side from a place drawn for each image."""
    return _window(images, side, side, generator)


def _window(images: Tensor, height: int, width: int, generator: torch.Generator) -> Tensor:
    """A part of each image of that size, at a place of its own."""
    examples = len(images)
    top = torch.randint(images.shape[2] - height + 1, (examples, 1, 1), generator=generator)
    left = torch.randint(images.shape[3] - width + 1, (examples, 1, 1), generator=generator)
    rows, columns = top + torch.arange(height)[:, None], left + torch.arange(width)
    chosen = images[torch.arange(examples)[:, None, None], :, rows, columns]  # [example, height, width, channel]
    return chosen.permute(0, 3, 1, 2).contiguous()


def _squares(examples: int, height: int, width: int, side: int, generator: torch.Generator) -> Tensor:
    """Where a square lies in each image; its centre is anywhere inside, so that it may stick out."""
    centre = [torch.randint(length, (examples, 1), generator=generator) for length in (height, width)]
    inside = [
        (torch.arange(length) >= middle - side // 2) & (torch.arange(length) < middle - side // 2 + side)
        for length, middle in zip((height, width), centre, strict=True)
    ]
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
