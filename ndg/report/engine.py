"""Graphviz in a child process with a time limit.

`dot` on the PATH runs if it works, else the library inside the pygraphviz wheel. The child only sees the DejaVu fonts
of matplotlib, so every machine draws the same picture, and text in a PDF stays text. For characters that these lack it
also sees fonts of this machine.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ndg import atomic
from ndg.errors import RenderError
from ndg.progress import log
from ndg.report.fonts import font_config, fonts_for, no_font

FORMATS = ("pdf", "svg", "png", "eps")
FONT = "DejaVu Sans,Verdana,sans-serif"

_WORKER = """
import sys, pygraphviz
engine, form, source, target = sys.argv[1:]
picture = pygraphviz.AGraph(source, encoding="UTF-8").draw(format=form, prog=engine)
open(target, "wb").write(picture)
"""  # a process of its own, because a layout in the library cannot be stopped and may crash; it writes the file itself,
# because pygraphviz cannot under Python 3.11.2
_TOO_SLOW = (
    "layout by {engine} must end within {timeout:.3g} s; {size} took longer; draw fewer nodes (max_nodes=, config "
    "report.max_nodes), one class (target=){straight}, or allow more time (timeout=, config report.timeout)"
)


class SlowLayoutError(RenderError):
    """A layout took longer than allowed."""


@dataclass(frozen=True)
class Program:
    """Name and command of a Graphviz program."""

    name: str
    command: tuple[str, ...]

    def arguments(self, engine: str, form: str, source: Path, target: Path) -> list[str]:
        """Command that draws `source` to `target`."""
        if self.name == "pygraphviz":
            return [*self.command, engine, form, str(source), str(target)]
        return [*self.command, f"-K{engine}", f"-T{form}", "-o", str(target), str(source)]


def programs() -> tuple[Program, ...]:
    """Graphviz programs on this machine, in the order of preference."""
    path = shutil.which("dot")
    available = [Program("dot", (path,))] if path else []
    if importlib.util.find_spec("pygraphviz"):
        available.append(Program("pygraphviz", (sys.executable, "-P", "-c", _WORKER)))
    return tuple(available)


def layout(source: str, path: str | os.PathLike[str], timeout: float | int = 60.0) -> Path:
    """Draw DOT `source` to a path with a suffix of FORMATS."""
    return atomic.write(path, picture(source, Path(path).suffix.removeprefix("."), timeout=timeout))


def picture(
    source: str, form: str, *, engine: str = "dot", timeout: float | int = 60.0, size: str = "the graph"
) -> bytes:
    """Picture of DOT `source` in one of FORMATS.

    `timeout` bounds all attempts together, in seconds; `size` describes the graph in error messages. Characters that no
    font has are named in a warning, but for SVG. Raises RenderError if Graphviz is missing, the layout takes too long,
    or every attempt fails.
    """
    candidates = programs()
    if not candidates:
        raise RenderError(
            "a picture needs Graphviz: `dot` on the PATH or the pygraphviz wheel; there is neither; "
            "pip install pygraphviz, or conda install graphviz, or write .dot and draw it elsewhere"
        )
    fonts, missing = fonts_for(source)
    if missing and form != "svg":
        log.warning("%s", no_font(missing))
    failures = []
    deadline = time.monotonic() + timeout
    with tempfile.TemporaryDirectory(prefix="ndg-draw-") as name:
        folder = Path(name)
        (folder / "graph.dot").write_text(source, encoding="utf-8")
        environment = {**os.environ, "FONTCONFIG_FILE": str(font_config(folder, fonts))}
        environment.pop("FONTCONFIG_PATH", None)
        for program in candidates:
            target = folder / f"picture.{form}"
            arguments = program.arguments(engine, form, folder / "graph.dot", target)
            try:
                done = subprocess.run(
                    arguments,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=max(deadline - time.monotonic(), 0.0),
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                straight = ", straight edges (layout='straight')" if engine == "dot" else ""
                facts = {"engine": engine, "timeout": timeout, "size": size, "straight": straight}
                raise SlowLayoutError(_TOO_SLOW.format(**facts)) from error
            except OSError as error:
                failures.append(f"{program.name}: {error}")
                continue
            if done.returncode == 0 and target.is_file() and target.stat().st_size:
                return target.read_bytes()
            lines = done.stderr.decode("utf-8", "replace").splitlines()
            message = [line.strip() for line in lines if "Fontconfig warning" not in line] or ["no message"]
            failures.append(f"{program.name} (exit {done.returncode}): {message[-1]}")
    raise RenderError(
        f"Graphviz must draw {size} as {form}; every engine failed: {'; '.join(failures)}; "
        "write .dot to look at the source, or run `ndg doctor`"
    )
