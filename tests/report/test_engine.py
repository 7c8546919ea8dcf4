"""Layout in a child process: without `dot`, without fonts, within its time, and with another `dot` than ours."""

import re
import shlex
import zlib
from pathlib import Path

import pytest

from ndg.errors import OutputError, RenderError
from ndg.report import engine

SOURCE = f'digraph {{ node [fontname="{engine.FONT}"]; a [label="label:3"]; b [label="¬latent:12 …"]; a -> b }}'
MAGIC = {"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG", "eps": b"%!PS"}
BOX_DRAWING = "━▸"


@pytest.fixture
def no_dot(monkeypatch, tmp_path):
    """A PATH on which there is nothing."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


@pytest.fixture
def own_dot(monkeypatch, tmp_path):
    """Puts a program called `dot` on the PATH: a shell script with this body."""

    def put(body: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "dot"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return program

    return put


STRING = re.compile(rb"\((?:\\.|[^\\)])*\)|<[0-9a-f]+>", re.DOTALL)
SHOWN = re.compile(rb"/(f-\d+-\d+) 1 Tf|((?:" + STRING.pattern + rb"|[-\d.\s])*)\]?T[jJ]", re.DOTALL)


def pdf_text(pdf: bytes) -> tuple[str, set[str]]:
    """The text that a PDF of cairo shows, and its embedded fonts: content strings, decoded by the fonts' own maps."""
    objects = dict(re.findall(rb"\n(\d+) 0 obj(.*?)endobj", b"\n" + pdf, re.DOTALL))
    streams = {
        number: zlib.decompress(body.split(b"stream\n", 1)[1].rsplit(b"\nendstream", 1)[0])
        for number, body in objects.items()
        if b"FlateDecode" in body
    }
    maps = {}
    for number, body in objects.items():
        found = re.search(rb"/ToUnicode (\d+) 0 R", body)
        if found:
            pairs = re.findall(rb"<([0-9a-f]+)> <([0-9a-f]{4,})>", streams[found.group(1)])
            maps[number] = {int(code, 16): bytes.fromhex(to.decode()).decode("utf-16-be") for code, to in pairs}
    resources = dict(re.findall(rb"/(f-\d+-\d+) (\d+) 0 R", pdf))
    text = []
    for stream in streams.values():
        font = {}
        for name, shown in SHOWN.findall(stream):
            font = maps[resources[name]] if name else font
            text += [decoded(piece, font) for piece in STRING.findall(shown)]
    fonts = {name.decode() for name in re.findall(rb"/BaseFont /([\w+-]+)", pdf)}
    return "".join(text), fonts


def decoded(piece: bytes, font: dict[int, str]) -> str:
    if piece.startswith(b"<"):
        codes = [int(piece[i : i + 4], 16) for i in range(1, len(piece) - 1, 4)]
    else:
        body = re.sub(rb"\\\n", b"", piece[1:-1])
        body = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal.group(1), 8)]), body)
        codes = list(re.sub(rb"\\(.)", rb"\1", body, flags=re.DOTALL).replace(b"\n", b""))
    return "".join(font.get(code, "") for code in codes)


@pytest.mark.parametrize("form", engine.FORMATS)
def test_a_pip_install_alone_draws(no_dot, form):
    assert [program.name for program in engine.programs()] == ["pygraphviz"]
    assert engine.picture(SOURCE, form).startswith(MAGIC[form])


def test_text_in_a_pdf_is_text_in_an_embedded_font_without_any_font_of_the_system(no_dot, monkeypatch, tmp_path):
    monkeypatch.setenv("FONTCONFIG_PATH", str(tmp_path))
    monkeypatch.setenv("FONTCONFIG_FILE", str(tmp_path / "none.conf"))
    text, fonts = pdf_text(engine.picture(SOURCE.replace("…", f"… {BOX_DRAWING}"), "pdf"))
    assert "label:3" in text
    assert "¬latent:12 …" in text
    assert BOX_DRAWING in text
    assert fonts
    assert all("DejaVu" in font for font in fonts)


def test_the_child_is_given_the_fonts_of_matplotlib_and_nothing_else(tmp_path):
    text = engine.font_config(tmp_path).read_text()
    (folder,) = re.findall(r"<dir>(.*?)</dir>", text)
    assert (Path(folder) / "DejaVuSans.ttf").is_file()
    assert "include" not in text
    assert str(tmp_path / "cache") in text


def test_dot_on_the_path_is_taken_first(own_dot, tmp_path):
    child = shlex.join(next(program.command for program in engine.programs() if program.name == "pygraphviz"))
    log = tmp_path / "log"
    own_dot(f'echo "$@" >> "{log}"\nexec {child} "${{1#-K}}" "${{2#-T}}" "$5" "$4"')
    assert [program.name for program in engine.programs()] == ["dot", "pygraphviz"]
    assert engine.picture(SOURCE, "svg", engine="nop2").startswith(MAGIC["svg"])
    assert log.read_text().startswith("-Knop2 -Tsvg -o ")


def test_a_dot_that_cannot_draw_is_passed_over(own_dot):
    own_dot("echo 'Format: \"pdf\" not recognized' >&2; exit 1")
    assert engine.picture(SOURCE, "pdf").startswith(MAGIC["pdf"])


def test_a_layout_that_takes_too_long_is_stopped_and_says_what_to_do(own_dot):
    own_dot("exec sleep 60")
    with pytest.raises(
        RenderError, match=r"layout by dot must end within 0.2 s; 7 nodes took longer; draw fewer nodes"
    ):
        engine.picture(SOURCE, "svg", timeout=0.2, size="7 nodes")


def test_source_that_no_engine_can_read_says_what_each_of_them_said(own_dot):
    own_dot("echo my words >&2; exit 3")
    with pytest.raises(RenderError, match=r"every engine failed: dot \(exit 3\): my words; pygraphviz \(exit \d+\): ."):
        engine.picture("digraph { a -> ", "svg")


def test_without_any_graphviz_the_error_says_how_to_get_one(no_dot, monkeypatch):
    find = engine.importlib.util.find_spec
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None if name == "pygraphviz" else find(name))
    with pytest.raises(RenderError, match=r"there is neither; pip install pygraphviz, or conda install graphviz"):
        engine.picture(SOURCE, "svg")


def test_nothing_stays_in_the_temporary_folder(no_dot, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    engine.picture(SOURCE, "svg")
    with pytest.raises(RenderError):
        engine.picture("digraph {", "svg")
    assert list(tmp_path.iterdir()) == []


def test_layout_writes_the_file_of_its_suffix(no_dot, tmp_path):
    path = engine.layout(SOURCE, tmp_path / "new" / "check.pdf", timeout=30)
    assert path.read_bytes().startswith(MAGIC["pdf"])


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_file(no_dot, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file/check\.svg cannot be written: .*choose a folder"):
        engine.layout(SOURCE, tmp_path / "file" / "check.svg")
