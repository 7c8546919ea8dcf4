"""Hooks of mkdocs: pages that are made from the code, links that leave docs/."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tools.site import notebooks, pages

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[([^\[\]]*)\]\(((?:\.\./)+[^)\s]*)\)")
ROOT_PAGES = ("changelog", "code_of_conduct", "contributing", "security")
TEXTS = {f"about/{name}.md": f"{name.upper()}.md" for name in ROOT_PAGES}
"""Pages that are files of the repository."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code, from notebooks and from files outside docs/."""
    made = pages.reference() | {page: (ROOT / path).read_text(encoding="utf-8") for page, path in TEXTS.items()}
    run = bool(config.extra["run_notebooks"])
    made |= {f"notebooks/{path.stem}.md": notebooks.markdown(path, run) for path in notebooks.paths()}
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to files of the repository outside docs/ become their text."""
    if source := TEXTS.get(page.file.src_uri):
        return _from_root(markdown, source)

    def replaced(link: re.Match[str]) -> str:
        depth = link[2].count("../")
        inside = depth <= len(PurePosixPath(page.file.src_uri).parents) - 1
        return link[0] if inside else link[1]

    return LINK.sub(replaced, markdown)


def _from_root(markdown: str, source: str) -> str:
    """A text of the repository's root: links into docs/ are relative to its page, others become their text."""

    def replaced(link: re.Match[str]) -> str:
        if link[2].startswith("docs/") and not (ROOT / link[2]).is_dir():
            return f"[{link[1]}](../{link[2].removeprefix('docs/')})"
        return link[0] if ":" in link[2] else link[1]

    return re.sub(r"\[([^\[\]]*)\]\(([^)\s]+)\)", replaced, markdown)
