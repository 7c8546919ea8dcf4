"""Notebooks, run in this process and shown as Markdown. `python -m tools.site.notebooks` runs all of them."""

from __future__ import annotations

import ast
import contextlib
import html
import io
import json
import os
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "notebooks"


def paths() -> list[Path]:
    """The notebooks of the repository."""
    return sorted(FOLDER.glob("*.ipynb"))


def cells(path: Path) -> Iterator[tuple[str, str]]:
    """Kind ("markdown" or "code") and source of each cell."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        yield cell["cell_type"], "".join(cell["source"])


def executed(path: Path) -> Iterator[tuple[str, str, str, Any]]:
    """Kind, source, printed text and last value of each cell, run one after the other in an empty folder.

    The value is that of the last line, if it is an expression; else None.
    """
    module = types.ModuleType("__main__")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for kind, source in cells(path):
            printed, value = io.StringIO(), None
            if kind == "code":
                with contextlib.redirect_stdout(printed):
                    value = _run(source, f"{path.name}", vars(module))
            yield kind, source, printed.getvalue(), value


def _run(source: str, name: str, names: dict[str, Any]) -> Any:
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)
    return eval(compile(ast.Expression(last.value), name, "eval"), names) if isinstance(last, ast.Expr) else None


def markdown(path: Path, run: bool) -> str:
    """A notebook as Markdown, with `run` together with what its cells show."""
    whole = executed(path) if run else ((kind, source, "", None) for kind, source in cells(path))
    parts: list[str] = []
    for kind, source, printed, value in whole:
        parts.append(f"```python\n{source}\n```" if kind == "code" else source)
        if printed:
            parts.append(f"```text\n{printed.rstrip()}\n```")
        if value is not None:
            parts.append(_shown(value))
    return "\n\n".join(parts)


def _shown(value: Any) -> str:
    """HTML of a value, as a notebook shows it."""
    if figure := getattr(value, "figure", None):  # axes of matplotlib
        picture = io.StringIO()
        figure.savefig(picture, format="svg", bbox_inches="tight")
        text = picture.getvalue()
        return f'<div class="output">{text[text.index("<svg") :]}</div>'
    if hasattr(value, "_repr_html_"):
        lines = (line.strip() for line in value._repr_html_().splitlines())
        return f'<div class="output">{"".join(lines)}</div>'
    return f'<div class="output"><pre>{html.escape(repr(value))}</pre></div>'


def main() -> int:
    """Run all notebooks; an error ends the command."""
    os.environ.setdefault("MPLBACKEND", "agg")
    for path in paths():
        for _ in executed(path):
            pass
        print(path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
