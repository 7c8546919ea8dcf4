"""Small wrong changes of the core, each of which the tests must notice.

    python -m tools.mutants [--jobs N] [--only WORD]        # make mutants

A copy of the repository gets one change at a time, and the tests named for it run there, without those that need Ray.
A change that they do not notice has survived. Exits with 1 if one survived, if its text is no longer in the file
exactly once, or if the tests fail without any change.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools.mutant_list import MUTANTS, Mutant

ROOT = Path(__file__).parent.parent
NOT_COPIED = {"runs", "build", "dist"}
"""Folders of the root that the tests do not need."""

SECONDS = 600
"""Longest run of the tests of one mutant; a mutant that hangs is noticed."""


@dataclass(frozen=True)
class Verdict:
    """Outcome of one mutant: `killed`, `survived`, `stale` (its text is gone) or `broken` (the tests did not run)."""

    mutant: Mutant
    outcome: str
    detail: str = ""

    @property
    def good(self) -> bool:
        return self.outcome == "killed"


def copy(root: Path, tree: Path) -> None:
    """Copy a repository without caches, hidden files and what was made in it."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        made = NOT_COPIED if Path(folder) == root else set()
        return {name for name in names if name in made or name == "__pycache__" or name.startswith(".")}

    shutil.copytree(root, tree, ignore=left_out)


def stale(root: Path, mutant: Mutant) -> str:
    """Why a mutant cannot be applied, or nothing."""
    file = root / mutant.file
    if not file.is_file():
        return f"{mutant.file} does not exist; name the file where the text is now"
    count = file.read_text().count(mutant.old)
    return "" if count == 1 else f"{mutant.file} has {mutant.old!r} {count} times; once is needed"


def run_tests(tree: Path, tests: Sequence[str], seconds: float = SECONDS) -> tuple[int, str]:
    """Exit code of pytest and the end of its output; 1 if it took too long."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not ray", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return 1, f"no end after {seconds} s"
    return done.returncode, (done.stdout + done.stderr)[-2000:]


def judge(tree: Path, mutant: Mutant) -> Verdict:
    """Apply a mutant to a copy of the repository, run its tests there and undo it."""
    if why := stale(tree, mutant):
        return Verdict(mutant, "stale", why)
    file = tree / mutant.file
    source = file.read_text()
    file.write_text(source.replace(mutant.old, mutant.new))
    try:
        code, output = run_tests(tree, mutant.tests)
    finally:
        file.write_text(source)
    outcome = {0: "survived", 1: "killed"}.get(code, "broken")
    return Verdict(mutant, outcome, output if outcome == "broken" else "")


def judged(root: Path, mutants: Sequence[Mutant], jobs: int = 1) -> Iterator[Verdict]:
    """The verdict on each mutant, in their order, from `jobs` copies of the repository.

    Raises SystemExit if the tests fail without any change.
    """
    with tempfile.TemporaryDirectory() as folder:
        trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for job in range(jobs):
            tree = Path(folder) / str(job)
            copy(root, tree)
            trees.put(tree)

        def in_a_tree(mutant: Mutant) -> Verdict:
            tree = trees.get()
            try:
                return judge(tree, mutant)
            finally:
                trees.put(tree)

        tests = sorted({test for mutant in mutants if not stale(root, mutant) for test in mutant.tests})
        code, output = run_tests(tree, tests, 5 * SECONDS) if tests else (0, "")
        if code:
            raise SystemExit(f"the tests must pass without any change; pytest ended with {code}:\n{output}")
        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(in_a_tree, mutants)


def main(arguments: Sequence[str] | None = None, mutants: Sequence[Mutant] = MUTANTS, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="mutants tested at the same time (default: 1)")
    parser.add_argument("--only", default="", metavar="WORD", help="only mutants whose file or text contains WORD")
    options = parser.parse_args(arguments)
    chosen = [mutant for mutant in mutants if options.only in f"{mutant.file} {mutant.old}"]
    bad = 0
    for verdict in judged(root, chosen, options.jobs):
        mutant = verdict.mutant
        bad += not verdict.good
        print(
            f"{verdict.outcome:8} {mutant.file}: {mutant.old!r} -> {mutant.new!r} {verdict.detail}".rstrip(), flush=True
        )
    print(f"{len(chosen) - bad} of {len(chosen)} mutants killed")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
