"""Shifts and noise, against a slow twin."""

import pytest
import torch

from ndg.data.augment import Augment, augment
from tests.references.augment import shifted


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.7])
def test_a_shift_moves_every_image_as_the_slow_twin_does(shift):
    images = torch.rand(6, 2, 5, 7, generator=seeded())
    moved = augment(images, Augment(shift=shift), seeded(1))
    distances = (2 * torch.rand(6, 2, generator=seeded(1)) - 1) * shift
    assert distances.abs().max() <= shift
    for image, result, (right, down) in zip(images, moved, distances.tolist(), strict=True):
        for channel, drawn in zip(image, result, strict=True):
            assert torch.allclose(drawn, torch.from_numpy(shifted(channel.numpy(), right, down)), atol=1e-5)


def test_noise_has_the_asked_deviation_and_leaves_pixels_in_0_1():
    grey = torch.full((200, 1, 8, 8), 0.5)
    noisy = augment(grey, Augment(noise=0.1), seeded())
    assert noisy.std().item() == pytest.approx(0.1, rel=0.03)
    wild = augment(grey, Augment(noise=5.0), seeded())
    assert wild.min() == 0
    assert wild.max() == 1


def test_nothing_asked_changes_and_draws_nothing():
    generator, images = seeded(), torch.rand(3, 1, 4, 4)
    before = generator.get_state()
    assert augment(images, Augment(), generator) is images
    assert torch.equal(generator.get_state(), before)


def test_the_same_generator_draws_the_same_and_the_images_stay_as_they_were():
    images = torch.rand(3, 1, 4, 4)
    copy = images.clone()
    first, second = (augment(images, Augment(shift=1.0, noise=0.1), seeded(4)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, augment(images, Augment(shift=1.0, noise=0.1), seeded(5)))
    assert torch.equal(images, copy)
