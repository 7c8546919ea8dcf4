"""What the README says is what runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ndg import cli, config
from ndg.workflows.studies import STUDIES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    ((?:ndg|python (?:train_models|align)\.py) .*)$", README, flags=re.MULTILINE)


def test_the_examples_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(examples) == 2
    names = {"__name__": "readme"}
    for code in examples:
        exec(compile(code, "README.md", "exec"), names)
    assert (tmp_path / "ndg.pdf").read_bytes().startswith(b"%PDF")
    for name in ("graph.json", "bits.ndg", "graph.graphml", "edges.parquet"):
        assert (tmp_path / name).stat().st_size > 100


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_one_that_the_program_understands(line):
    for one in re.split(r"\s;\s", line.partition("  #")[0]):
        words = shlex.split(one)
        if words[0] == "python":
            words = ["ndg", {"train_models.py": "train", "align.py": "align"}[words[1]], *words[2:]]
        asked = cli._parse(cli._parser("ndg"), words[1:])
        what = getattr(asked, "what", [])
        if words[1] == "align" and what and what[0] in STUDIES:
            what = what[1:]
        for word in what:
            if "=" not in word and word != "RUN":
                assert word in config.configs()


def test_there_are_commands_to_understand():
    assert len(COMMANDS) >= 8


def test_every_file_that_is_named_is_there():
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_targets_of_make_are_those_of_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)\b", README)) <= targets
