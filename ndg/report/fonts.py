"""Fonts of pictures: DejaVu, and fonts of this machine for characters that DejaVu lacks."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path

from ndg.escape import html
from ndg.report.font_files import DEJAVU, characters, system_fonts

SHOWN = 10
"""Missing characters that a message lists."""
_DRAWN = re.compile("[\\s!-\u0377\u0400-\u0525±·–…→≡━▸─╌┄█]")
"""Characters that DejaVu is known to draw: Latin, Greek and Cyrillic letters, and the signs of our legends."""


def font_config(folder: Path, more: tuple[Path, ...] = ()) -> Path:
    """Fontconfig file for DejaVu and some more font files."""
    beside = folder / "fonts"
    beside.mkdir(exist_ok=True)
    for number, font in enumerate(more):
        (beside / f"{number}{font.suffix}").symlink_to(font)
    folders = [DEJAVU, *([beside] if more else [])]
    path = folder / "fonts.conf"
    path.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">\n<fontconfig>'
        + "".join(f"<dir>{html(str(each))}</dir>" for each in folders)
        + f"<cachedir>{html(str(folder / 'cache'))}</cachedir></fontconfig>\n",
        encoding="utf-8",
    )
    return path


def fonts_for(text: str) -> tuple[tuple[Path, ...], str]:
    """Font files of this machine for characters that DejaVu lacks, and the characters that none has."""
    others = {c for c in _DRAWN.sub("", text) if unicodedata.category(c)[0] not in "CZ"}
    return _fonts_for(frozenset(others)) if others else ((), "")


def no_font(missing: str) -> str:
    """Message about characters that no font has."""
    shown = ", ".join(f"{c} (U+{ord(c):04X})" for c in missing[:SHOWN])
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    return (
        f"a picture shows characters that a font of this machine has; none has {shown}{more}, which become boxes; put "
        "a font that has them, such as a Noto font, into ~/.local/share/fonts, or write .svg, which viewers draw "
        "with their own fonts"
    )


@lru_cache(maxsize=64)
def _fonts_for(others: frozenset[str]) -> tuple[tuple[Path, ...], str]:
    missing = others - _characters(DEJAVU / "DejaVuSans.ttf")
    chosen = []
    for font in system_fonts() if missing else ():
        if present := missing & _characters(font):
            chosen.append(font)
            missing -= present
        if not missing:
            break
    return tuple(chosen), "".join(sorted(missing))


_characters = lru_cache(maxsize=1024)(characters)
