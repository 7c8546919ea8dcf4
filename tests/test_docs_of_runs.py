"""Commands of the guides about runs, on a run folder with a training and an alignment."""

from __future__ import annotations

import re
import shlex
import tarfile
from pathlib import Path

import pytest

from ndg.cli import main

ROOT = Path(__file__).parent.parent
GUIDES = ("howto/pictures.md", "howto/report.md", "howto/run_log.md", "gallery.md")
RUNS = ("20261130-224318-digits_mlp-align-87fa", "20261130-224259-digits_mlp-train-bb17")
"""For the words RUN of a command, one after the other."""
UNIT, TARGET = "latent:0", "--target latent:0"
"""In place of others that the small graph does not have."""
WAITS = ("ui", "rm")
"""Commands that serve a page or ask; tests/test_ui.py and tests/test_runs_commands.py run them."""


def commands() -> list[str]:
    """Every command of the guides that ends by itself."""
    pages = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in GUIDES]
    lines = [line for page in pages for line in re.findall(r"^    ndg (.*?)(?:\s+#.*)?$", page, flags=re.MULTILINE)]
    return [line for line in dict.fromkeys(lines) if line.split()[0] not in WAITS]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with `runs`."""
    with tarfile.open(ROOT / "tests" / "first_version" / "runs.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    for name in ("NDG_STORE", "NDG_RUNS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_guides_runs(line, folder, capsys):
    runs = iter(RUNS)
    line = re.sub(r"\bRUN\b", lambda _: next(runs), line).replace("latent:7", UNIT).replace("--target 3", TARGET)
    words = shlex.split(line)
    assert main(words) == 0, capsys.readouterr().err


def test_there_are_commands_of_the_guides():
    assert len(commands()) >= 15
