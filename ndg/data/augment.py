"""Small random changes of training images that leave their class alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor


def augment(
    inputs: Float32[Tensor, "example channel height width"], shift: float, noise: float, generator: torch.Generator
) -> Float32[Tensor, "example channel height width"]:
    """The images, each moved by up to `shift` pixels along both axes, plus Gaussian noise.

    A fraction of a pixel moves an image by bilinear interpolation; zeros come in at the border. `noise` is a standard
    deviation in pixel values, and noisy pixels are kept in [0, 1]. With 0 and 0 nothing is drawn or changed.
    """
    if shift:
        examples, _, height, width = inputs.shape
        moved = (2 * torch.rand(examples, 2, generator=generator) - 1) * shift
        affine = torch.eye(2, 3).repeat(examples, 1, 1)
        affine[:, :, 2] = 2 * moved / torch.tensor([width, height])  # grids span [-1, 1]
        grid = F.affine_grid(affine, list(inputs.shape), align_corners=False)
        inputs = F.grid_sample(inputs, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if noise:
        inputs = (inputs + noise * torch.randn(inputs.shape, generator=generator)).clamp(0, 1)
    return inputs
