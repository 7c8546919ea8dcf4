"""Augmentation against slow references; it reaches training only."""

import numpy as np
import pytest
import torch

from ndg.config import Train
from ndg.data.augment import augment, centre_crop, random_crop
from ndg.data.inputs import Numbers, Pixels
from tests.references.augment import shifted, turned, window


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.7])
def test_a_shift_moves_every_image_as_the_slow_twin_does(shift):
    images = torch.rand(6, 2, 5, 7, generator=seeded())
    moved = augment(images, Train(shift=shift), seeded(1))
    distances = (2 * torch.rand(6, 2, generator=seeded(1)) - 1) * shift
    assert distances.abs().max() <= shift
    for image, result, (right, down) in zip(images, moved, distances.tolist(), strict=True):
        for channel, drawn in zip(image, result, strict=True):
            assert torch.allclose(drawn, torch.from_numpy(shifted(channel.numpy(), right, down)), atol=1e-5)


def test_noise_has_the_asked_deviation_and_leaves_pixels_in_0_1():
    grey = torch.full((200, 1, 8, 8), 0.5)
    noisy = augment(grey, Train(noise=0.1), seeded())
    assert noisy.std().item() == pytest.approx(0.1, rel=0.03)
    wild = augment(grey, Train(noise=5.0), seeded())
    assert wild.min() == 0
    assert wild.max() == 1


def test_nothing_asked_changes_and_draws_nothing():
    generator, images = seeded(), torch.rand(3, 1, 4, 4)
    before = generator.get_state()
    assert augment(images, Train(), generator) is images
    assert torch.equal(generator.get_state(), before)


def test_the_same_generator_draws_the_same_and_the_images_stay_as_they_were():
    images = torch.rand(3, 1, 4, 4)
    copy = images.clone()
    first, second = (augment(images, Train(shift=1.0, noise=0.1), seeded(4)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, augment(images, Train(shift=1.0, noise=0.1), seeded(5)))
    assert torch.equal(images, copy)


def differing(count=200, channels=2, height=5, width=7):
    """Images with all pixels different."""
    pixels = torch.randperm(count * channels * height * width, generator=seeded(9)) + 1
    return pixels.reshape(count, channels, height, width).float()


def test_half_of_the_images_are_turned_with_all_their_channels_and_no_other():
    images = differing()
    result = augment(images, Train(flip=True), seeded(1))
    count = 0
    for image, drawn in zip(images.numpy(), result.numpy(), strict=True):
        mirror = np.stack([turned(channel) for channel in image])
        assert np.array_equal(drawn, mirror) or np.array_equal(drawn, image)
        count += np.array_equal(drawn, mirror)
    assert 70 < count < 130


@pytest.mark.parametrize("pad", [1, 3])
def test_padded_images_are_cut_out_at_every_place_with_black_around(pad):
    images = differing()
    result = augment(images, Train(pad=pad), seeded(1))
    assert result.shape == images.shape
    seen = set()
    for image, drawn in zip(images.numpy(), result.numpy(), strict=True):
        fitting = [
            (top, left)
            for top in range(-pad, pad + 1)
            for left in range(-pad, pad + 1)
            if all(
                np.array_equal(window(channel, top, left, *channel.shape), cut)
                for channel, cut in zip(image, drawn, strict=True)
            )
        ]
        assert len(fitting) == 1
        seen.add(fitting[0])
    assert len(seen) > 0.9 * min((2 * pad + 1) ** 2, 45)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_random_crop_is_a_part_of_each_image_from_anywhere(dtype):
    images = (differing(100, 2, 5, 6) % 251).to(dtype)
    result = random_crop(images, 3, 3, seeded(1))
    assert result.shape == (100, 2, 3, 3)
    assert result.dtype == dtype
    seen = set()
    for image, drawn in zip(images.numpy(), result.numpy(), strict=True):
        fitting = [
            (top, left)
            for top in range(3)
            for left in range(4)
            if all(np.array_equal(window(c, top, left, 3, 3), d) for c, d in zip(image, drawn, strict=True))
        ]
        assert fitting
        seen.update(fitting)
    assert len(seen) == 12


def test_the_middle_is_cut_out_and_a_crop_of_the_whole_changes_nothing():
    images = differing(3, 2, 5, 8)
    for image, cut in zip(images.numpy(), centre_crop(images, 3).numpy(), strict=True):
        assert np.array_equal(cut, np.stack([window(channel, 1, 2, 3, 3) for channel in image]))
    square = differing(3, 2, 5, 5)
    assert torch.equal(centre_crop(square, 5), square)
    assert torch.equal(random_crop(square, 5, 5, seeded()), square)


@pytest.mark.parametrize("side", [1, 2, 3, 50])
def test_a_grey_square_with_its_centre_inside_is_painted_over_all_channels(side):
    images = differing()
    result = augment(images, Train(erase=side), seeded(1))
    centres = set()
    for image, drawn in zip(images.numpy(), result.numpy(), strict=True):
        painted = drawn[0] == 0.5
        assert np.array_equal(painted, drawn[1] == 0.5)
        assert np.array_equal(drawn[:, ~painted], image[:, ~painted])
        rows, columns = np.flatnonzero(painted.any(1)), np.flatnonzero(painted.any(0))
        assert painted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        for found, length in ((rows, 5), (columns, 7)):
            whole = found[0] > 0 and found[-1] < length - 1
            assert len(found) <= side
            assert len(found) >= (side if whole else min(length, (side + 1) // 2))
        centres.add((rows[0], columns[0]))
    assert side == 50 or len(centres) > 15


def test_draws_are_made_in_the_order_that_is_told():
    images, how = torch.rand(6, 2, 8, 8, generator=seeded()), Train(flip=True, pad=1, shift=0.5, erase=2, noise=0.1)
    generator, single = seeded(3), images
    for part in (Train(flip=True), Train(pad=1), Train(shift=0.5), Train(erase=2), Train(noise=0.1)):
        single = augment(single, part, generator)
    assert torch.equal(augment(images, how, seeded(3)), single)


@pytest.mark.parametrize("kind", ["pixels", "cropped pixels", "numbers"])
def test_a_batch_is_the_same_before_and_after_training_varied_it(kind):
    pixels = torch.randint(256, (6, 3, 8, 8), dtype=torch.uint8, generator=seeded())
    crop = 5 if kind == "cropped pixels" else None
    inputs = Numbers(pixels.float() / 255) if kind == "numbers" else Pixels(pixels, crop)
    before = inputs.batch().clone()
    varied = inputs.varied(Train(flip=True, pad=1, shift=0.5, erase=2, noise=0.1), seeded())
    assert varied.shape == before.shape
    assert not torch.equal(varied, before)
    assert torch.equal(inputs.batch(), before)


def test_rows_of_a_table_are_not_varied():
    rows = Numbers(torch.rand(6, 4, generator=seeded()))
    assert torch.equal(rows.varied(Train(flip=True, pad=1, shift=0.5, erase=2, noise=0.1), seeded()), rows.values)
