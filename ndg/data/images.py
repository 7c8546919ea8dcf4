"""JPEG and PNG images, decoded once or for each batch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8

from ndg.config import Data, Train
from ndg.data import archives
from ndg.data.augment import Images
from ndg.data.inputs import IMAGE, Form, Inputs, Pixels, Rows, Texts
from ndg.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png")

HELD = 1 << 30
"""Limit of decoded bytes in memory; larger sets are decoded for each batch."""

PACKED = 8 << 30
"""Limit of encoded bytes of an archive in memory."""

MOST_PIXELS = 64 << 20
MOST_BYTES = 256 << 20
WORKERS = min(8, os.cpu_count() or 1)
CHUNK = 32


@dataclass(frozen=True, slots=True)
class Picture:
    """Encoded image; `content` is None for a file, read each time."""

    name: str
    place: Path
    content: bytes | None = None

    @property
    def where(self) -> str:
        return str(self.place) if self.content is None else f"{self.place} ({self.name})"

    def read(self) -> bytes:
        """Encoded bytes; DataError if unreadable or too many."""
        if self.content is not None:
            return self.content
        try:
            with self.place.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise DataError(f"{self.where} must be a file that can be read; {error}; copy it again") from error
        if len(content) > MOST_BYTES:
            raise DataError(f"{self.where} must be an image of at most {MOST_BYTES:,} bytes; got more; leave it out")
        return content

    def decode(self, channels: int, size: int | None = None) -> UInt8[np.ndarray, "{channels} height width"]:
        """Pixels in colour (3 channels) or grey (1), scaled bilinearly to side `size` if any.

        Raises DataError unless the bytes are a whole JPEG or PNG image with 8 bits per channel and few enough pixels.
        """
        from PIL import Image

        with _opened(self) as image:
            turn = _turn(image)
            try:
                image = image.convert("RGB" if channels == 3 else "L")
            except Exception as error:  # decoders of Pillow may raise anything
                raise _damaged(self, error) from error
        if turn is not None:
            image = image.transpose(turn)
        if size is not None and image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BILINEAR)
        values = np.asarray(image, np.uint8)
        return np.ascontiguousarray(values.transpose(2, 0, 1) if channels == 3 else values[None])

    def header(self) -> Header:
        """Facts about the image, without decoding it."""
        with _opened(self) as image:
            palette = np.reshape(image.getpalette("RGB") or [], (-1, 3)) if image.mode in ("P", "PA") else None
            grey = image.mode in ("1", "L", "LA") or (palette is not None and not np.ptp(palette, axis=1).any())
            width, height = image.size[::-1] if _turn(image) in _SIDEWAYS else image.size
            transparent = image.mode.endswith("A") or "transparency" in image.info
            deep = any(str(tile[-1]).endswith("16B") for tile in image.tile)
            return Header(height, width, grey, transparent, deep, getattr(image, "n_frames", 1))


class Header(NamedTuple):
    """Facts about an image, upright as its EXIF orientation says."""

    height: int
    width: int
    grey: bool
    transparent: bool
    deep: bool
    """16 bits a channel."""
    frames: int


@dataclass(frozen=True, eq=False)
class Files(Inputs):
    """Images decoded for each batch, with the same results as `Pixels`."""

    images: tuple[Picture, ...]
    channels: int
    height: int
    width: int
    size: int | None = None
    crop: int | None = None

    @property
    def form(self) -> Form:
        return Form(IMAGE, (self.channels, self.crop or self.height, self.crop or self.width))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Rows) -> Files:
        chosen = range(len(self))[rows] if isinstance(rows, slice) else rows.tolist()
        images = tuple(self.images[row] for row in chosen)
        return Files(images, self.channels, self.height, self.width, self.size, self.crop)

    def batch(self) -> Images:
        return self.decoded().batch()

    def varied(self, settings: Train, generator: torch.Generator) -> Images:
        return self.decoded().varied(settings, generator)

    def update(self, state: Any) -> None:
        state.update(f"{self.channels} {self.height} {self.width} {self.size} {self.crop}".encode())
        for image in self.images:
            content = image.read()
            state.update(f"{image.name} {len(content)} ".encode() + sha256(content).digest())

    def decoded(self) -> Pixels:
        """Pixels of all images, in memory."""
        values = torch.empty((len(self), self.channels, self.height, self.width), dtype=torch.uint8)
        rows = values.numpy()

        def fill(start: int) -> None:
            for row in range(start, min(start + CHUNK, len(self))):
                pixels = self.images[row].decode(self.channels, self.size)
                if pixels.shape != rows.shape[1:]:
                    raise _unequal(self.images[row], pixels.shape[1:], self.images[0], rows.shape[2:])
                rows[row] = pixels

        starts = range(0, len(self), CHUNK)
        with ThreadPoolExecutor(max(1, min(WORKERS, len(starts)))) as workers:
            for _ in workers.map(fill, starts):
                pass
        return Pixels(values, self.crop)


def pictures(images: Sequence[Picture], settings: Data, channels: int = 3, limit: int | None = None) -> Inputs:
    """Inputs of images: `Pixels` within `limit` bytes (by default HELD), else `Files`.

    Images are scaled to `settings.size` and cut to `settings.crop`. Raises DataError for images of different sizes
    without `size`, a crop larger than the images, and a damaged image if all are decoded.
    """
    size = settings.size
    height, width = (size, size) if size is not None else images[0].header()[:2]
    _check_crop(settings.crop, height, width, images[0].where)
    files = Files(tuple(images), channels, height, width, size, settings.crop)
    if len(images) * channels * height * width <= (HELD if limit is None else limit):
        return files.decoded()
    if size is None:
        for image in images:
            if (image_size := image.header()[:2]) != (height, width):
                raise _unequal(image, image_size, images[0], (height, width))
    return files


def fitted(inputs: Inputs | Texts, settings: Data) -> Inputs | Texts:
    """Images scaled and cropped as `settings` say; DataError for other inputs."""
    if (settings.size is None and settings.crop is None) or isinstance(inputs, Files):
        return inputs
    if not isinstance(inputs, Pixels):
        kind = "texts" if isinstance(inputs, Texts) else f"numbers of shape {inputs.form.shape}"
        raise DataError(
            f"data.size and data.crop need images with bytes as pixels; data set {settings.name!r} has {kind}; "
            "leave both null"
        )
    height, width = inputs.values.shape[2:]
    size = None if settings.size in (None, height) and height == width else settings.size
    _check_crop(settings.crop, size or height, size or width, f"data set {settings.name!r}")
    return Pixels(inputs.values, settings.crop, size)


def surveyed(images: Sequence[Picture]) -> tuple[int, list[str]]:
    """Channels of the images by their headers, and clauses on unread content."""
    headers = [image.header() for image in images]
    losses = {
        "transparency of {} ignored": sum(header.transparent for header in headers),
        "16 bits a channel of {} cut to 8": sum(header.deep for header in headers),
        "all but the first frame of {} left out": sum(header.frames > 1 for header in headers),
    }
    clauses = [words.format(f"{count:,} image{'s' * (count > 1)}") for words, count in losses.items() if count]
    return 1 if all(header.grey for header in headers) else 3, clauses


def others(place: Path) -> list[str]:
    """Clause on files that are not read as images, and on hidden images."""
    kinds: Counter[str] = Counter()
    for name, path in _files(place, hidden=True):
        suffix = path.suffix.lower()
        if not _is_hidden(name) and suffix not in SUFFIXES:
            kinds[shown(Path(suffix)) if suffix else "no suffix"] += 1
        elif _is_hidden(name) and path.name.lower().endswith(SUFFIXES):
            kinds["hidden images"] += 1
    counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    return [f"other files left out ({counts})"] if kinds else []


def shown(path: Path) -> str:
    """Path as text, with bytes that are no UTF-8 escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _files(
    folder: Path, name: str = "", above: tuple[str, ...] = (), hidden: bool = False
) -> Iterator[tuple[str, Path]]:
    """Names (escaped) and paths of files below a folder, also `hidden` ones.

    DataError for unreadable visible ones.
    """
    real = os.path.realpath(folder)
    if _is_hidden(name) and (real in above or not os.access(folder, os.R_OK | os.X_OK)):
        return
    if real in above:
        raise DataError(f"a folder of images must not contain itself; {folder} links to {real}; remove the link")
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder} must be a folder that can be read; {error}; correct its permissions") from error
    for entry in entries:
        inside = name + shown(Path(entry.name))
        if entry.name.startswith(".") and not hidden:
            continue
        if entry.is_dir():
            yield from _files(folder / entry.name, f"{inside}/", (*above, real), hidden)
            continue
        path = folder / entry.name
        if not entry.is_file() and not _is_hidden(inside) and (entry.is_symlink() or path.suffix.lower() in SUFFIXES):
            what = f"links to {shown(path.readlink())}, which is missing" if entry.is_symlink() else "is neither"
            raise DataError(f"a folder of images has files and folders; {shown(path)} {what}; restore or remove it")
        yield inside, path


def gathered(place: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Picture]:
    """Images below a folder or in an archive, sorted by name, without hidden files."""
    if place.is_dir():
        images = [Picture(name, path) for name, path in _files(place) if path.suffix.lower() in suffixes]
    else:
        images, total = [], 0
        for name, content in archives.members(place, suffixes):
            images.append(Picture(name.as_posix(), place, content))
            total += len(content)
            if total > PACKED:
                raise DataError(
                    f"{place} must have at most {PACKED:,} bytes of images to be read as an archive; got more; "
                    "unpack it and set data.dir to the folder"
                )
    visible = [image for image in images if not _is_hidden(image.name)]
    return sorted(visible, key=lambda image: image.name)


def _check_crop(crop: int | None, height: int, width: int, where: str) -> None:
    if crop is not None and crop > min(height, width):
        raise DataError(
            f"data.crop must be at most the side of the images; got {crop} for {height} x {width} pixels of {where}; "
            "lower data.crop or set data.size"
        )


_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""Pillow's `Transpose` that puts an image upright, by EXIF orientation (as `ImageOps.exif_transpose`)."""
_SIDEWAYS = (5, 4, 6, 2)


def _turn(image: Any) -> int | None:
    """Transposition that puts an image upright, if its header asks for one."""
    from PIL import Image

    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif"))
        return _TURNS.get(int(exif.get(0x0112, 1)))
    except Exception:  # a damaged header turns nothing
        return None


def _opened(picture: Picture) -> Any:
    """Pillow image with its header read."""
    from PIL import Image

    try:
        image = Image.open(BytesIO(picture.read()), formats=("JPEG", "PNG"))
    except DataError:
        raise
    except Exception as error:
        raise _damaged(picture, error) from error
    if image.width * image.height > MOST_PIXELS:
        raise DataError(
            f"{picture.where} must have at most {MOST_PIXELS:,} pixels; got {image.width} x {image.height}; "
            "leave it out"
        )
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        raise DataError(f"{picture.where} must have 8 bits a channel; got mode {image.mode}; save it as such")
    return image


def _damaged(picture: Picture, error: Exception) -> DataError:
    reason = str(error).partition(" <_io")[0] or type(error).__name__
    return DataError(f"{picture.where} must be a whole JPEG or PNG image; {reason}; copy it again or leave it out")


def _unequal(image: Picture, size: Sequence[int], first: Picture, expected: Sequence[int]) -> DataError:
    (height, width), (first_height, first_width) = size, expected
    return DataError(
        f"images must have the same size; {image.where} has {height} x {width} pixels, {first.where} "
        f"{first_height} x {first_width}; set data.size to scale them"
    )
