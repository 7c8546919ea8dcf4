"""Font files of this package and machine, and their characters."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

DEJAVU = Path(__file__).with_name("dejavu")
"""DejaVu Sans, regular, bold and oblique, with its licence."""

FOLDERS = {
    "linux": ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts"),
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": (r"%WINDIR%\Fonts", r"%LOCALAPPDATA%\Microsoft\Windows\Fonts"),
}
ENDINGS = (".ttf", ".otf", ".ttc", ".otc")
UNICODE = ((3, 1), (3, 10))
"""Subtables of Windows that are in Unicode; all of platform 0 are."""
STYLES = ("bold", "black", "italic", "oblique", "mono", "serif")


def system_fonts() -> Iterator[Path]:
    """Font files of this machine, upright sans-serif ones first."""
    folders = [Path(os.path.expandvars(name)).expanduser() for name in FOLDERS.get(sys.platform, FOLDERS["linux"])]
    files = {path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in ENDINGS}
    return iter(sorted(files, key=lambda path: (_styles(path), path)))


def _styles(font: Path) -> int:
    name = font.name.lower().replace("sans", "")
    return sum(style in name for style in STYLES)


def characters(font: Path) -> frozenset[str]:
    """Characters of a TrueType or OpenType file or the first font of a collection.

    None if it cannot be read.

    Unicode subtables of the formats 4, 6, 12 and 13 of the table `cmap` (OpenType 1.9) are read.
    """
    try:
        data = font.read_bytes()
        start = struct.unpack_from(">I", data, 12)[0] if data[:4] == b"ttcf" else 0
        tables = struct.unpack_from(">H", data, start + 4)[0]
        places = (start + 12 + 16 * number for number in range(tables))
        cmap = next(struct.unpack_from(">I", data, place + 8)[0] for place in places if data[place:][:4] == b"cmap")
        count = struct.unpack_from(">H", data, cmap + 2)[0]
        records = {struct.unpack_from(">HHI", data, cmap + 4 + 8 * number) for number in range(count)}
        offsets = {offset for platform, kind, offset in records if platform == 0 or (platform, kind) in UNICODE}
        return frozenset(chr(code) for offset in offsets for code in _codes(data, cmap + offset))
    except (OSError, struct.error, StopIteration, ValueError, OverflowError):
        return frozenset()


def _codes(data: bytes, table: int) -> Iterator[int]:
    """Code points of one subtable that have a glyph."""
    form = struct.unpack_from(">H", data, table)[0]
    if form == 4:
        yield from _segments(data, table)
    elif form == 6:
        first, count = struct.unpack_from(">HH", data, table + 6)
        glyphs = struct.unpack_from(f">{count}H", data, table + 10)
        yield from (first + number for number, glyph in enumerate(glyphs) if glyph)
    elif form in (12, 13):
        for number in range(struct.unpack_from(">I", data, table + 12)[0]):
            first, last, glyph = struct.unpack_from(">III", data, table + 16 + 12 * number)
            yield from range(first + (form == 12 and not glyph), min(last, sys.maxunicode) + 1)


def _segments(data: bytes, table: int) -> Iterator[int]:
    """Code points of a subtable of format 4."""
    doubled = struct.unpack_from(">H", data, table + 6)[0]
    form, ends = f">{doubled // 2}H", table + 14
    starts = ends + doubled + 2
    deltas, offsets = starts + doubled, starts + 2 * doubled
    columns = (struct.unpack_from(form, data, place) for place in (ends, starts, deltas, offsets))
    for number, (last, first, delta, offset) in enumerate(zip(*columns, strict=True)):
        for code in range(first, min(last, 0xFFFE) + 1):
            place = offsets + 2 * number + offset + 2 * (code - first)
            glyph = struct.unpack_from(">H", data, place)[0] if offset else code
            if glyph and (glyph + delta) & 0xFFFF:
                yield code
