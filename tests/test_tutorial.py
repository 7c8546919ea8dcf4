"""The tutorial's commands run one after the other, on smaller networks, and leave what the page promises."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from ndg import runs
from ndg.cli import main
from ndg.workflows.studies import causal

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parent.parent / "docs" / "tutorial.md").read_text(encoding="utf-8")
SMALL = ["train.epochs=2", "model.widths=[16]"]
TRIAL = [
    *("importance.methods=[]", "trial.interchange=false", "trial.edges=false", "trial.minimal=0", "trial.graphs=[]"),
    *("trial.draws=1", "report.max_nodes=8"),
]


def smaller(words: list[str]) -> list[str]:
    """The command with a smaller network and trial, in this process."""
    own = "--model" in words
    more = [] if own or "digits_mlp" not in words else SMALL
    if words[0] == "align":
        more = [*more, *TRIAL, "--executor", "serial"]
    return [*words, *more]


def test_every_command_of_the_tutorial_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("NDG_STORE", "NDG_RUNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(causal, "ACCURACY", causal.AccuracySettings(fit=600, pairs=200))
    monkeypatch.setattr(causal, "PROOFS", causal.CertifySettings(nodes=8))
    for name in ("HIDDEN", "FORCED"):
        monkeypatch.setattr(causal, name, causal.SetSettings(at_most=2, examples=60))
    monkeypatch.setattr(causal, "RARE", 0.25)
    [(file, code)] = re.findall(r'```python title="(.*?)"\n(.*?)```', PAGE, flags=re.DOTALL)
    Path(file).write_text(code)
    commands = re.findall(r"^    ndg (.*)$", PAGE, flags=re.MULTILINE)
    assert len(commands) >= 10
    for line in commands:
        assert main([*smaller(shlex.split(line)), "-q"]) == 0, f"{line}\n{capsys.readouterr().err}"
    for name in ("three.svg", "votes.svg"):
        assert "<svg" in Path(name).read_text()
    for name in ("digits.html", "mine.html"):
        assert "<script" in Path(name).read_text()
    assert Path("small/network.pt2").is_file()
    with runs.open("runs/ndg.db") as log:
        kinds = [record["kind"] for record in log.find({"status": "COMPLETED"})]
    assert sorted(kinds) == ["align", "align", "causal", "compress", "train"]
