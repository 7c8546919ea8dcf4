"""What is written for a boolean reads back as that boolean.

The mean map of a channel has a lower maximum than the examples that it is the mean of, and the mean over an example's
tokens is another one than over those that were fitted. Such values are shifted by a constant for each unit.
"""

from __future__ import annotations

import torch

from ndg.activations.binarize import as_tensor
from ndg.units.readings import Mask
from ndg.units.site import Chosen, Output, Site, shaped

STEPS = 40
"""How often a shift that rounding undoes is enlarged, twofold each time."""


def settled(site: Site, values: Output, booleans: Chosen, mask: Mask | None = None) -> Output:
    """The values, those of a unit shifted by the least constant that makes them read as its boolean where they do not.

    The least is that to the threshold and a few roundings past it.
    """
    thresholds = as_tensor(site.thresholds, values.device)
    read = site.read(values, mask)
    wrong = (read > thresholds) != booleans
    if not wrong.any():
        return values
    gap, float_of = thresholds - read.double(), torch.finfo(values.dtype)
    sizes = values.abs()
    if values.ndim > 2:
        sizes = sizes.amax(dim=1) if site.kind == "tokens" else sizes.flatten(2).amax(dim=2)
    past = torch.maximum(thresholds.abs(), sizes.double()).clamp(min=float_of.tiny) * float_of.eps
    past = torch.where(booleans, past, -past)
    shift, found = torch.zeros_like(gap), values
    for step in range(STEPS):
        shift = torch.where(wrong, gap + past * 2**step, shift)
        shifted = (values + shaped(site, shift, values)).to(values.dtype)
        found = torch.where(shaped(site, shift != 0, values), shifted, values)
        wrong = (site.read(found, mask) > thresholds) != booleans
        if not wrong.any():
            break
    return found
