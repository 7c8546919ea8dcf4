"""The documentation site: built without warnings, no dead link, nothing asked of another server, nothing left out."""

from __future__ import annotations

import logging
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip("material", reason="make docs: pip install 'neuron-dependency-graphs[docs]'")

from mkdocs.commands.build import build
from mkdocs.config import load_config

from ndg.commands import parser
from ndg.config.reference import keys
from tools.site import api

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
LINK = re.compile(r'<(?:a|link|script|img|use)\b[^>]*?\b(?:href|src)="?([^"\s>]+)')
ID = re.compile(r'\b(?:id|name)="?([^"\s>]+)')


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages of the site by path, without outputs of notebooks. A warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NDG_RUN_NOTEBOOKS", "false")
        patch.chdir(ROOT)
        counter = _Warnings()
        logging.getLogger("mkdocs").addHandler(counter)
        try:
            build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
        finally:
            logging.getLogger("mkdocs").removeHandler(counter)
    assert not counter.messages, "\n".join(counter.messages)
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}, folder


class _Warnings(logging.Handler):
    """Keeps messages of warnings and errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def dead_links(pages: dict[str, str], folder: Path) -> list[str]:
    """Links between pages whose file or anchor is missing."""
    anchors = {name: set(map(unquote, ID.findall(page))) for name, page in pages.items()}
    missing = []
    for name, page in pages.items():
        for link in set(LINK.findall(page)):
            path, _, anchor = unquote(link).partition("#")
            if re.match(r"[a-z]+:|//", path) or name == "404.html":
                continue
            target = (folder / name).parent / path if path else folder / name
            if not target.exists():
                missing.append(f"{name}: {link}")
            elif anchor and target.suffix == ".html":
                target_name = str(target.resolve().relative_to(folder.resolve()))
                if anchor not in anchors[target_name] and not anchor.startswith("__"):
                    missing.append(f"{name}: {link}")
    return missing


def test_no_link_is_dead(site):
    pages, folder = site
    assert len(pages) > 60
    assert not dead_links(pages, folder)


def test_a_dead_link_is_noticed(tmp_path):
    pages = {"a.html": '<a href="b.html#x">b</a> <a href=c.html>c</a>', "b.html": '<p id="y">'}
    for name, page in pages.items():
        (tmp_path / name).write_text(page)
    assert sorted(dead_links(pages, tmp_path)) == ["a.html: b.html#x", "a.html: c.html"]


def folded(source: str, page: str) -> list[str]:
    """Lines that stand as code in a Markdown text, in a block after an empty line, and not in the page."""
    code = re.sub(r"<[^>]+>", "", " ".join(re.findall(r"<pre.*?</pre>", page, flags=re.DOTALL)))
    known, missing, before = " ".join(unescape(code).split()), [], ""
    for line in re.sub(r"^```.*?^```", "", source, flags=re.DOTALL | re.MULTILINE).splitlines():
        inside = line.startswith("    ") and line.strip() and (not before.strip() or before == "block")
        if inside and " ".join(line.split()) not in known:
            missing.append(line)
        before = "block" if inside else line
    return missing


def test_code_stands_as_code(site):
    """Markdown takes an indented block after a list as text of the list."""
    pages = site[0]
    for path in (ROOT / "docs").rglob("*.md"):
        name = path.relative_to(ROOT / "docs").with_suffix(".html").as_posix().replace("README", "index")
        assert not folded(path.read_text(encoding="utf-8"), pages[name]), name
    assert folded("1. a\n\n    ndg show &\n    b\n", "<p>ndg show &amp; b</p>") == ["    ndg show &", "    b"]
    assert not folded("a\n\n    ndg show &\n", "<pre><code>ndg <b>show</b> &amp;</code></pre>")


def test_pages_load_nothing_from_other_servers(site):
    for name, page in site[0].items():
        assert not re.search(r"<(?:script|img|iframe)\b[^>]*\bsrc=\"?(?:https?:)?//", page), name
        assert not re.search(r"<link\b[^>]*\brel=\"?(?:stylesheet|preconnect)[^>]*https?://", page), name


def test_the_reference_has_every_command_key_and_exported_name(site):
    pages = site[0]
    for name in parser.make_parser("ndg").commands:
        assert f">ndg {name}<" in pages["reference/commands.html"], name
    for key in keys():
        assert f"<code>{key.key}</code>" in pages["reference/keys.html"], key.key
    for module, values in api.exports().items():
        anchors = set(ID.findall(pages[f"reference/api/{module}.html"]))
        assert set(values) <= anchors
