"""The frame of every benchmark: `--quick`, `--json FILE`, and figures that are kept as they come.

A benchmark module defines parts and a `main`:

    def main(arguments: Sequence[str] | None = None) -> int:
        options = parser(__doc__).parse_args(arguments)
        return run({"peers": partial(peers, 3 if options.quick else 9), "scale": scale}, options)

    if __name__ == "__main__":
        raise SystemExit(main())
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ndg import atomic

Figures = dict[str, tuple[float, str]]
"""Value and description of each figure, by its key."""

Figure = tuple[str, float, str]
"""Key, value and description of one figure."""

Part = Callable[[], Figures | Iterable[Figure]]
"""A part returns its figures, or yields each as soon as it is measured."""


class WrongResultError(Exception):
    """The alternatives compute different results, so their times cannot be compared."""


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Command line of a benchmark, described by the first line of its docstring."""
    options = argparse.ArgumentParser(description=(doc or "").strip().partition("\n")[0])
    options.add_argument("--quick", action="store_true", help="small sizes and few repetitions: does it run at all?")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    return options


def run(parts: Mapping[str, Part], options: argparse.Namespace) -> int:
    """Run parts in turn, print and write each figure as it comes; return 1 if a part failed, else 0.

    A failed part is reported on standard error. Its earlier figures and the other parts' figures are kept.
    """
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}", flush=True)
    values: dict[str, float] = {}
    failed: list[str] = []
    for name, part in parts.items():
        print(f"... {name}", file=sys.stderr, flush=True)
        try:
            for key, value, description in listed(part()):
                values[key] = value
                print(f"  {key:34} {value:>12,.4g}  {description}", flush=True)
                write(values, options.json)
        except Exception:
            failed.append(name)
            traceback.print_exc()
    write(values, options.json)
    if failed:
        print(f"{len(failed)} of {len(parts)} parts failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def listed(figures: Figures | Iterable[Figure]) -> Iterable[Figure]:
    """Figures of a part, one after the other."""
    if isinstance(figures, Mapping):
        return ((key, value, description) for key, (value, description) in figures.items())
    return figures


def write(values: dict[str, float], file: Path | None) -> None:
    """Write the values to a JSON file."""
    if file is not None:
        atomic.write(file, json.dumps(values, indent=2) + "\n")
