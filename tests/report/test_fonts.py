"""Class names in any script are drawn by a font of this machine, or the missing characters are told."""

import logging
import struct

import pytest

from ndg.report import font_files, fonts
from ndg.report.engine import picture
from ndg.report.render import render
from tests.report.test_engine import pdf_text

CATS = ["猫", "gato", "γάτα", "кошка"]


@pytest.fixture
def font(tmp_path):
    """A font file that has two characters, 猫 and 犬."""
    builder = pytest.importorskip("fontTools.fontBuilder")
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for point in [(100, 700), (900, 700), (900, 0)]:
        pen.lineTo(point)
    pen.closePath()
    glyph, names = pen.glyph(), [".notdef", "cat", "dog"]
    made = builder.FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder(names)
    made.setupCharacterMap({ord("猫"): "cat", ord("犬"): "dog"})
    made.setupGlyf(dict.fromkeys(names, glyph))
    made.setupHorizontalMetrics(dict.fromkeys(names, (1000, 100)))
    made.setupHorizontalHeader(ascent=800, descent=-200)
    made.setupNameTable({"familyName": "Two Animals", "styleName": "Regular", "psName": "TwoAnimals-Regular"})
    made.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    made.setupPost()
    path = tmp_path / "animals.ttf"
    made.save(path)
    return path


@pytest.fixture(autouse=True)
def own_fonts(monkeypatch):
    """Sets the font files of this machine."""
    fonts._fonts_for.cache_clear()
    monkeypatch.setattr(fonts, "system_fonts", lambda: iter(()))
    yield lambda *paths: monkeypatch.setattr(fonts, "system_fonts", lambda: iter(paths))
    fonts._fonts_for.cache_clear()


def test_a_font_of_this_machine_draws_what_dejavu_lacks(font, own_fonts, caplog):
    own_fonts(font)
    assert fonts.fonts_for("猫 label:3 ¬ é") == ((font,), "")
    text, embedded = pdf_text(picture('digraph { a [label="猫 label:3"] }', "pdf"))
    assert "猫" in text
    assert "label:3" in text
    assert any("TwoAnimals" in name for name in embedded)
    assert any("DejaVu" in name for name in embedded)
    assert not caplog.records


@pytest.mark.parametrize("form", ["pdf", "png", "svg"])
def test_characters_that_no_font_has_are_told_but_for_svg(planted, form, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "ndg"):
        render(planted, tmp_path / f"x.{form}", class_names=CATS)
    messages = [record.getMessage() for record in caplog.records]
    if form == "svg":
        assert not messages
        assert "猫" in (tmp_path / "x.svg").read_text()
    else:
        assert len(messages) == 1
        assert "a font of this machine has; none has 猫 (U+732B), which become boxes; put a font" in messages[0]


def test_only_what_fonts_lack_is_told(font, own_fonts):
    own_fonts(font.with_name("none.ttf"), font)
    assert fonts.fonts_for("猫犬鳥") == ((font,), "鳥")
    assert fonts.fonts_for("Ünïcödé Ελλ кот ±→≡ שלום مرحبا \u200d\n") == ((), "")
    assert "and 5 more" in fonts.no_font("".join(map(chr, range(0x4E00, 0x4E0F))))


def test_the_fonts_that_are_sought_first_are_upright_and_without_serifs(monkeypatch, tmp_path):
    for name in ("SomeSerif.ttf", "NotoSans-BoldItalic.ttf", "deep/NotoSans-Regular.TTF", "NotoSansMono.ttf", "readme"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.setattr(font_files, "FOLDERS", {"linux": (str(tmp_path), str(tmp_path / "none"))})
    monkeypatch.setattr(font_files.sys, "platform", "linux")
    names = [path.name for path in font_files.system_fonts()]
    assert len(names) == 4
    assert names[0] == "NotoSans-Regular.TTF"


@pytest.mark.parametrize("name", ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans-Oblique.ttf"])
def test_characters_of_a_font_are_those_that_freetype_reads(name):
    ft2font = pytest.importorskip("matplotlib.ft2font")
    path = font_files.DEJAVU / name
    assert font_files.characters(path) == frozenset(map(chr, ft2font.FT2Font(str(path)).get_charmap()))


def test_characters_of_other_formats_and_of_broken_files(font, tmp_path):
    assert font_files.characters(font) == {"猫", "犬"}
    collection = tmp_path / "one.ttc"
    data = font.read_bytes()
    head = b"ttcf" + struct.pack(">III", 0x10000, 1, 16)
    tables = struct.unpack_from(">H", data, 4)[0]
    moved = bytearray(head + data)
    for number in range(tables):
        place = 16 + 12 + 16 * number + 8
        struct.pack_into(">I", moved, place, struct.unpack_from(">I", moved, place)[0] + 16)
    collection.write_bytes(moved)
    assert font_files.characters(collection) == {"猫", "犬"}
    broken = tmp_path / "broken.ttf"
    for length in (0, 3, 40, len(data) // 2):
        broken.write_bytes(data[:length])
        assert font_files.characters(broken) <= {"猫", "犬"}
    assert font_files.characters(tmp_path / "none.ttf") == frozenset()
