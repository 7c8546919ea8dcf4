"""PNG pictures of inputs, as text for pages."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from jaxtyping import Float
from numpy import ndarray

LARGEST = 64
"""Pixels of the longer side above which an image is made smaller."""

Image = Float[ndarray, "channel height width"]


def thumbnail(image: Image, low: float, high: float) -> str:
    """Data URI of an image.

    Pixels from `low` to `high` become black to white.

    Three channels are red, green and blue; of any other number the mean is shown in grey.
    """
    step = -(-max(image.shape[1:]) // LARGEST)
    image = image[:, : image.shape[1] // step * step, : image.shape[2] // step * step] if step > 1 else image
    channels, height, width = image.shape
    if step > 1:
        image = image.reshape(channels, height // step, step, width // step, step).mean(axis=(2, 4))
    image = image if channels == 3 else image.mean(axis=0, keepdims=True)
    scaled = np.clip((image - low) / max(high - low, 1e-12), 0, 1)
    return uri(np.rint(255 * scaled).astype(np.uint8).transpose(1, 2, 0))


def uri(pixels: np.ndarray) -> str:
    """Data URI of bytes `[row, column, 1 or 3]`."""
    height, width, channels = pixels.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in parts)
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
