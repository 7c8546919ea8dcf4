"""Inputs of a data set (numbers, pixels, tokens), stored as published, and their batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32, Int32, Int64, UInt8
from torch import Tensor

from ndg.config import Train
from ndg.data.augment import Images, augment, centre_crop, random_crop
from ndg.errors import DataError

IMAGE, TABLE, TEXT = "image", "table", "text"

Rows = slice | Int64[Tensor, " chosen"]
Columns = Tensor | dict[str, Tensor]


@dataclass(frozen=True)
class Form:
    """Form of one input, as a network sees it.

    `shape` is (channels, height, width) of an image, (features,) of a table row, (tokens,) of a text. A text has tokens
    from 0 to `vocabulary - 1`, is padded with `padding`, and has `sentences` parts (2 for a pair that `token_type_ids`
    distinguish).
    """

    kind: str
    shape: tuple[int, ...]
    vocabulary: int = 0
    padding: int = 0
    sentences: int = 1

    @classmethod
    def of(cls, shape: Form | Sequence[int]) -> Form:
        """Form of itself, of an image (three lengths) or row (one)."""
        if isinstance(shape, Form):
            return shape
        return cls(IMAGE if len(shape) == 3 else TABLE, tuple(shape))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Form:
        return cls(**{**document, "shape": tuple(document["shape"])})


class Inputs(ABC):
    """Inputs of some examples, in order."""

    @property
    @abstractmethod
    def form(self) -> Form:
        """Form of one input."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, rows: Rows) -> Inputs:
        """Inputs of these rows, in their order."""

    @abstractmethod
    def batch(self) -> Columns:
        """All inputs as a tensor, or tensors by name, with examples first."""

    def varied(self, settings: Train, generator: torch.Generator) -> Columns:
        """Batch for one training step, with random changes that preserve the class."""
        return self.batch()

    @abstractmethod
    def update(self, state: Any) -> None:
        """Add the content to a hash of hashlib."""


@dataclass(frozen=True, eq=False)
class Numbers(Inputs):
    """Floats, unchanged: images with pixels in [0, 1], or table rows."""

    values: Float32[Tensor, "example ..."]

    @property
    def form(self) -> Form:
        return Form.of(tuple(self.values.shape[1:]))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Rows) -> Numbers:
        return Numbers(self.values[rows])

    def batch(self) -> Tensor:
        return self.values

    def varied(self, settings: Train, generator: torch.Generator) -> Tensor:
        return augment(self.values, settings, generator) if self.values.ndim == 4 else self.values

    def update(self, state: Any) -> None:
        _update(state, self.values)


@dataclass(frozen=True, eq=False)
class Pixels(Inputs):
    """Images as bytes, divided by 255 per batch, scaled to `size`, cut to `crop`."""

    values: UInt8[Tensor, "example channel height width"]
    crop: int | None = None
    size: int | None = None

    @property
    def form(self) -> Form:
        channels, height, width = self.values.shape[1:]
        side = self.crop or self.size
        return Form(IMAGE, (channels, side or height, side or width))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Rows) -> Pixels:
        return Pixels(self.values[rows], self.crop, self.size)

    def batch(self) -> Images:
        values = self.scaled()
        return _fractions(values if self.crop is None else centre_crop(values, self.crop))

    def varied(self, settings: Train, generator: torch.Generator) -> Images:
        values = self.scaled()
        values = values if self.crop is None else random_crop(values, self.crop, self.crop, generator)
        return augment(_fractions(values), settings, generator)

    def scaled(self) -> UInt8[Tensor, "example channel height width"]:
        """Pixels at `size` by bilinear filtering, within 1 of Pillow's."""
        if self.size is None:
            return self.values
        if not len(self):  # torch cannot scale an empty batch
            return self.values.new_empty((0, self.values.shape[1], self.size, self.size))
        return F.interpolate(self.values, (self.size, self.size), mode="bilinear", antialias=True)

    def update(self, state: Any) -> None:
        _update(state, self.values)
        state.update(f"crop {self.crop}{'' if self.size is None else f' size {self.size}'}".encode())


@dataclass(frozen=True, eq=False)
class Tokens(Inputs):
    """Texts as token ids, padded at the end.

    `segments` is 1 in the second sentence of a pair, or None if the tokenizer does not mark it. `cut` marks truncated
    texts, if known. `batch` has `input_ids`, `attention_mask` and, with segments, `token_type_ids`, of one length; a
    training batch is as long as its longest text.
    """

    ids: Int32[Tensor, "example token"]
    lengths: Int32[Tensor, " example"]
    segments: UInt8[Tensor, "example token"] | None
    vocabulary: int
    padding: int
    cut: Bool[Tensor, " example"] | None = None

    @property
    def form(self) -> Form:
        sentences = 1 if self.segments is None else 2
        return Form(TEXT, (self.ids.shape[1],), self.vocabulary, self.padding, sentences)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Rows) -> Tokens:
        segments = None if self.segments is None else self.segments[rows]
        cut = None if self.cut is None else self.cut[rows]
        return Tokens(self.ids[rows], self.lengths[rows], segments, self.vocabulary, self.padding, cut)

    def batch(self) -> dict[str, Tensor]:
        return self._columns(self.ids.shape[1])

    def varied(self, settings: Train, generator: torch.Generator) -> dict[str, Tensor]:
        return self._columns(int(self.lengths.max()) if len(self) else 0)

    def update(self, state: Any) -> None:
        for tensor in (self.ids, self.lengths, self.segments):
            if tensor is not None:
                _update(state, tensor)

    def trimmed(self, length: int) -> Tokens:
        """The same, padded only to `length`, which no text exceeds."""
        segments = None if self.segments is None else self.segments[:, :length]
        return replace(self, ids=self.ids[:, :length], segments=segments)

    def fingerprints(self) -> Int64[np.ndarray, " example"]:
        """Hash of each text's tokens, valid within one process."""
        return np.array([hash(row.tobytes()) for row in self.ids.numpy()], np.int64)

    def _columns(self, length: int) -> dict[str, Tensor]:
        ids = self.ids[:, :length].long()
        columns = {"input_ids": ids, "attention_mask": (torch.arange(length) < self.lengths[:, None]).long()}
        if self.segments is not None:
            columns["token_type_ids"] = self.segments[:, :length].long()
        return columns


@dataclass(frozen=True)
class Texts:
    """Sentences, or pairs of them, before tokenization; `cased` if case matters."""

    first: tuple[str, ...]
    second: tuple[str, ...] | None = None
    cased: bool = False

    def __post_init__(self) -> None:
        if self.second is not None and len(self.first) != len(self.second):
            raise DataError(f"pairs need two sentences; got {len(self.first)} first and {len(self.second)} second ones")

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, rows: Int64[np.ndarray, " chosen"]) -> Texts:
        """Texts of these rows, in their order."""
        chosen = rows.tolist()
        second = None if self.second is None else tuple(self.second[row] for row in chosen)
        return Texts(tuple(self.first[row] for row in chosen), second, self.cased)

    def keys(self) -> Iterator[tuple[str, ...]]:
        """Keys of equal texts: white space and, unless `cased`, case are ignored."""
        for texts in zip(self.first, strict=True) if self.second is None else zip(self.first, self.second, strict=True):
            spaced = (" ".join(text.split()) for text in texts)
            yield tuple(spaced if self.cased else map(str.lower, spaced))

    @property
    def sentences(self) -> Iterator[str]:
        """All sentences: first ones, then second ones."""
        return chain(self.first, self.second or ())


def as_inputs(array: np.ndarray) -> Numbers | Pixels:
    """Pixels from bytes, Numbers from floats."""
    values = torch.from_numpy(np.require(array, requirements=["C", "W"]))  # torch shares the memory
    return Pixels(values) if values.dtype == torch.uint8 else Numbers(values)


def join(parts: Sequence[Inputs | Texts]) -> Inputs | Texts:
    """Inputs of several sets of one kind as one set."""
    first, sets = parts[0], cast(Sequence[Any], parts)
    if isinstance(first, Texts):
        second = None if first.second is None else tuple(chain(*(part.second for part in sets)))
        return Texts(tuple(chain(*(part.first for part in sets))), second, first.cased)
    if isinstance(first, Pixels | Numbers):
        return replace(first, values=torch.cat([part.values for part in sets]))
    raise TypeError(f"{type(first).__name__} cannot be joined")


def digest(*parts: Inputs | bytes) -> str:
    """Sixteen hexadecimal digits of inputs and bytes."""
    state = sha256()
    for part in parts:
        part.update(state) if isinstance(part, Inputs) else state.update(part)
    return state.hexdigest()[:16]


def _fractions(pixels: UInt8[Tensor, "..."]) -> Float32[Tensor, "..."]:
    return pixels.float().div_(255)


def _update(state: Any, tensor: Tensor) -> None:
    state.update(str(tuple(tensor.shape)).encode())
    state.update(tensor.contiguous().numpy().data)
