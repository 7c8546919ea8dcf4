"""Images decode to the saved pixels, at once or per batch, from any place."""

import io
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from ndg.config import Data, Train
from ndg.data import images
from ndg.data.images import Files, Picture, gathered, others, pictures, surveyed
from ndg.data.inputs import Pixels, digest
from ndg.errors import DataError
from tests.data import fixtures

ALL = slice(None)


def encoded(pixels, form="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


def picture(content):
    return Picture("a/x.png", Path("x.tar"), content)


def folder_of(folder, count=70, size=(8, 9)):
    """Write images to a folder; returns their pixels by name."""
    pixels = fixtures.noise(count, *size, 3)
    for number, each in enumerate(pixels):
        fixtures.write_image(folder / f"{number % 3}" / f"{number:03}.png", each)
    order = sorted(range(count), key=lambda number: (number % 3, number))
    return torch.from_numpy(pixels[order].transpose(0, 3, 1, 2).copy())


def test_a_png_is_decoded_to_its_pixels_and_a_jpeg_nearly():
    pixels = fixtures.noise(7, 5, 3)
    assert np.array_equal(picture(encoded(pixels)).decode(3), pixels.transpose(2, 0, 1))
    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8)[..., None] * np.ones(3, np.uint8)
    found = picture(encoded(smooth, "JPEG", quality=95)).decode(3)
    assert found.shape == (3, 32, 32)
    assert np.abs(found.transpose(1, 2, 0).astype(int) - smooth).max() < 6


def test_colours_become_grey_and_grey_and_palettes_become_colours():
    pixels = fixtures.noise(6, 4)
    assert np.array_equal(picture(encoded(pixels)).decode(1), pixels[None])
    assert np.array_equal(picture(encoded(pixels)).decode(3), np.stack([pixels] * 3))
    colours = fixtures.noise(6, 4, 3)
    weighted = colours @ np.array([0.299, 0.587, 0.114])
    assert np.abs(picture(encoded(colours)).decode(1)[0] - weighted).max() <= 1
    stream = io.BytesIO()
    Image.fromarray(pixels).convert("P").save(stream, "PNG")
    assert picture(stream.getvalue()).decode(3).shape == (3, 6, 4)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(10))
def test_images_are_turned_upright_as_their_exif_orientation_says(form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(fixtures.noise(6, 4, 3), form, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    assert np.array_equal(picture(content).decode(3), expected.transpose(2, 0, 1))
    assert picture(content).header()[:2] == expected.shape[:2]


def test_a_damaged_exif_header_turns_nothing():
    pixels = fixtures.noise(6, 4, 3)
    assert np.array_equal(picture(encoded(pixels, exif=b"Exif\0\0broken")).decode(3), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P"])
def test_grey_images_of_every_mode_are_grey_and_keep_their_pixels(mode):
    pixels = fixtures.noise(6, 4)
    image = Image.fromarray(pixels).convert(mode)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    images = [picture(encoded(pixels)), picture(stream.getvalue())]
    clauses = ["transparency of 1 image ignored"] if mode == "LA" else []
    assert surveyed(images) == (1, clauses)
    assert np.array_equal(images[1].decode(1)[0], np.asarray(image.convert("L")))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_one_colour_makes_all_images_coloured_and_transparency_is_counted(mode):
    image = Image.fromarray(fixtures.noise(6, 4, 3)).convert(mode)
    stream = io.BytesIO()
    image.save(stream, "PNG", **({"transparency": 0} if mode == "P" else {}))
    clauses = ["transparency of 2 images ignored"] if mode != "RGB" else []
    assert surveyed([picture(encoded(fixtures.noise(6, 4))), *[picture(stream.getvalue())] * 2]) == (3, clauses)


def test_scaling_is_bilinear_to_a_square():
    ramp = np.repeat(np.arange(0, 240, 4, dtype=np.uint8)[None], 30, 0)  # 30 x 60
    found = picture(encoded(ramp)).decode(1, 20)[0]
    assert found.shape == (20, 20)
    assert np.abs(found[:, 1:-1].astype(int) - (np.arange(20) * 12 + 4)[1:-1]).max() <= 1


def test_pixels_at_once_and_files_by_the_batch_are_the_same(tmp_path):
    pixels = folder_of(tmp_path)
    found = gathered(tmp_path)
    settings = Data(name="images", crop=6)
    at_once, lazy = pictures(found, settings), pictures(found, settings, limit=1000)
    assert isinstance(at_once, Pixels)
    assert isinstance(lazy, Files)
    assert torch.equal(at_once.values, pixels)
    assert at_once.form == lazy.form
    rows = torch.tensor([5, 3, 69, 3])
    assert torch.equal(at_once[rows].batch(), lazy[rows].batch())
    assert torch.equal(at_once[10:50:7].batch(), lazy[10:50:7].batch())
    assert torch.equal(at_once.batch(), lazy[ALL].batch())
    assert len(lazy[10:50:7]) == 6
    how = Train(flip=True, pad=1, shift=0.5, erase=2, noise=0.1)
    varied = [each[rows].varied(how, torch.Generator().manual_seed(1)) for each in (at_once, lazy)]
    assert torch.equal(*varied)
    assert varied[0].shape == (4, 3, 6, 6)
    assert torch.equal(lazy[rows].batch(), at_once[rows].batch())


def test_the_number_of_workers_changes_nothing(tmp_path, monkeypatch):
    pixels = folder_of(tmp_path)
    for workers in (1, 5):
        monkeypatch.setattr(images, "WORKERS", workers)
        assert torch.equal(pictures(gathered(tmp_path), Data()).values, pixels)


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.zip"])
def test_a_folder_and_an_archive_of_it_are_the_same(tmp_path, name):
    folder_of(tmp_path / "folder", 10)
    archive = tmp_path / name
    if name == "x.zip":
        import shutil

        shutil.make_archive(str(tmp_path / "x"), "zip", tmp_path / "folder")
    else:
        with tarfile.open(archive, "w" if name == "x.tar" else "w:gz") as file:
            file.add(tmp_path / "folder", ".")
    first, second = (pictures(gathered(place), Data(), limit=0) for place in (tmp_path / "folder", archive))
    assert torch.equal(first.batch(), second.batch())
    assert [image.name for image in first.images] == [image.name for image in second.images]
    assert digest(first) == digest(second)


def test_the_digest_of_files_sees_content_order_name_and_settings(tmp_path):
    folder_of(tmp_path, 10)
    lazy = pictures(gathered(tmp_path), Data(), limit=0)
    assert digest(lazy[:5]) == digest(lazy[torch.arange(5)])
    found = [digest(lazy), digest(lazy[:9]), digest(lazy[torch.tensor([*range(1, 10), 0])])]
    changes = [Data(crop=4), Data(crop=4, size=6), Data(size=6)]
    found += [digest(pictures(gathered(tmp_path), settings, limit=0)) for settings in changes]
    (tmp_path / "0" / "000.png").rename(tmp_path / "0" / "0000.png")
    found.append(digest(pictures(gathered(tmp_path), Data(), limit=0)))
    fixtures.write_image(tmp_path / "0" / "0000.png", fixtures.noise(8, 9, 3, seed=5))
    found.append(digest(pictures(gathered(tmp_path), Data(), limit=0)))
    assert len(set(found)) == len(found)


def test_hidden_and_other_files_are_left_out_and_grey_is_seen(tmp_path):
    for name in ("a/x.png", "a/Y.JPG", "a/z.jpeg", "a/._x.png", ".cache/x.png", "a/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(fixtures.noise(4, 4), "PNG"))
    found = gathered(tmp_path)
    assert [image.name for image in found] == ["a/Y.JPG", "a/x.png", "a/z.jpeg"]
    assert surveyed(found) == (1, [])
    assert others(tmp_path) == ["other files left out (1 .txt, 2 hidden images)"]
    fixtures.write_image(tmp_path / "a" / "colour.png", fixtures.noise(4, 4, 3))
    assert surveyed(gathered(tmp_path)) == (3, [])
    assert pictures(found, Data(), channels=1).form.shape == (1, 4, 4)


WHOLE = encoded(fixtures.noise(16, 16, 3))
JPEG = encoded(fixtures.noise(16, 16, 3), "JPEG")


@pytest.mark.parametrize("content", [b"", b"not an image", WHOLE[:60], WHOLE[:-30], JPEG[: len(JPEG) // 2], JPEG[:20]])
@pytest.mark.parametrize("most", [0, 1 << 20])
def test_a_damaged_image_is_named(tmp_path, content, most):
    folder_of(tmp_path, 4, (16, 16))
    (tmp_path / "1" / "x.png").write_bytes(content)
    with pytest.raises(
        DataError, match=r"1/x\.png must be a whole JPEG or PNG image; .+; copy it again or leave it out"
    ):
        pictures(gathered(tmp_path), Data(), limit=most).batch()


def test_a_damaged_image_in_an_archive_is_named_with_the_archive():
    with pytest.raises(DataError, match=r"x\.tar \(a/x\.png\) must be a whole JPEG or PNG"):
        picture(WHOLE[:-30]).decode(3)


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "PPM"])
def test_other_formats_are_refused_whatever_their_name(form):
    with pytest.raises(DataError, match="must be a whole JPEG or PNG image"):
        picture(encoded(fixtures.noise(4, 4, 3), form)).decode(3)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("side", [8200, 12000, 60000])
def test_an_image_made_to_fill_the_memory_is_refused_by_its_header(side, recwarn):
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    with pytest.raises(
        DataError, match=r"must have at most 67,108,864 pixels; got|must be a whole.*decompression bomb"
    ):
        picture(bomb).decode(3)


def test_sixteen_bits_are_not_cut_to_eight_in_silence():
    with pytest.raises(DataError, match="must have 8 bits a channel; got mode I;16; save it as such"):
        picture(encoded(np.arange(16, dtype=np.uint16).reshape(4, 4) * 1000)).decode(3)


def png_of_sixteen_bits(kind, channels, side=4):
    header = struct.pack(">IIBBBBB", side, side, 16, kind, 0, 0, 0)
    values = fixtures.noise(side, side * channels * 2)
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks, values.reshape(side, side, channels, 2)[..., 0]


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (4, 2), (6, 4)], ids=["colour", "grey alpha", "colour alpha"])
def test_sixteen_bits_of_colour_are_cut_to_eight_and_counted(tmp_path, kind, channels):
    content, high = png_of_sixteen_bits(kind, channels)
    folder_of(tmp_path, 2, (4, 4))
    (tmp_path / "0" / "deep.png").write_bytes(content)
    depth, clauses = surveyed(gathered(tmp_path))
    assert clauses[-1] == "16 bits a channel of 1 image cut to 8"
    if kind == 2:
        assert depth == 3
        assert np.array_equal(picture(content).decode(3), high.transpose(2, 0, 1))


def test_frames_after_the_first_are_counted(tmp_path):
    folder_of(tmp_path, 2, (4, 4))
    first, *more = (Image.fromarray(fixtures.noise(4, 4, seed=seed)) for seed in range(3))
    first.save(tmp_path / "0" / "moves.png", save_all=True, append_images=more)
    assert "all but the first frame of 1 image left out" in surveyed(gathered(tmp_path))[1]


def test_a_hidden_image_is_counted_and_hidden_folders_stop_nothing(tmp_path):
    folder_of(tmp_path, 2, (4, 4))
    (tmp_path / "0" / ".0.png").write_bytes(WHOLE)
    (tmp_path / "1" / ".PNG").write_bytes(WHOLE)
    (tmp_path / ".away").symlink_to(tmp_path)
    assert others(tmp_path) == ["other files left out (2 hidden images)"]


@pytest.mark.parametrize("most", [0, 1 << 20])
def test_images_of_different_sizes_need_a_size(tmp_path, most):
    folder_of(tmp_path, 4)
    fixtures.write_image(tmp_path / "1" / "x.png", fixtures.noise(9, 8, 3))
    with pytest.raises(
        DataError, match=r"same size; .*1/x\.png has 9 x 8 pixels, .*0/000\.png 8 x 9; set data\.size to scale them"
    ):
        pictures(gathered(tmp_path), Data(), limit=most)
    assert pictures(gathered(tmp_path), Data(size=7), limit=most).batch().shape == (5, 3, 7, 7)


def test_a_crop_larger_than_the_images_and_a_file_that_went_away_are_refused(tmp_path):
    folder_of(tmp_path, 4)
    found = gathered(tmp_path)
    with pytest.raises(DataError, match=r"data\.crop must be at most the side of the images; got 9 for 8 x 9 pixels"):
        pictures(found, Data(crop=9))
    lazy = pictures(found, Data(), limit=0)
    (tmp_path / "1" / "001.png").unlink()
    with pytest.raises(DataError, match=r"1/001\.png must be a file that can be read; .*No such file.*copy it again"):
        lazy.batch()


def test_bounds_on_encoded_bytes_hold(tmp_path, monkeypatch):
    folder_of(tmp_path / "folder", 10)
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        file.add(tmp_path / "folder", ".")
    monkeypatch.setattr(images, "PACKED", 1000)
    with pytest.raises(DataError, match=r"x\.tar must have at most 1,000 bytes of images.*unpack it and set data\.dir"):
        gathered(tmp_path / "x.tar")
    monkeypatch.setattr(images, "MOST_BYTES", 100)
    with pytest.raises(DataError, match=r"must be an image of at most 100 bytes; got more"):
        pictures(gathered(tmp_path / "folder"), Data())
