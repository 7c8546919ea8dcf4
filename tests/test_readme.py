"""Commands and examples of README and docs run as written."""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shlex
import sys
import tarfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg import config
from ndg.causal.accuracy import BITS, FITTED, WITHOUT_INTERVENTION, AccuracyRow, InterchangeAccuracy
from ndg.commands import parser
from ndg.graph.votes import Votes
from ndg.report import cli_tables
from ndg.workflows.studies import STUDIES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}
COMMANDS = {
    name: re.findall(r"^    ((?:ndg|python (?:train_models|align)\.py) .*)$", page, flags=re.MULTILINE)
    for name, page in PAGES.items()
}
SCRIPTS = [
    (name, line)
    for name, page in PAGES.items()
    for line in re.findall(r"^    python -m (analysis\..*)$", page, flags=re.MULTILINE)
]
EXAMPLES = {
    name: re.findall(r"```python[^\n]*\n(.*?)```", page, flags=re.DOTALL)
    for name, page in PAGES.items()
    if "```python" in page
}
FILES = {
    "README.md": {"ndg.pdf", "graph.json"},
    "docs/mining.md": {"bits.ndg", "graph.graphml", "edges.parquet"},
    "docs/own_network.md": set(),
    "docs/causal.md": set(),
    "docs/gallery.md": set(),
    "docs/howto/channels_heads.md": set(),
    "docs/howto/pictures.md": set(),
    "docs/howto/run_log.md": set(),
    "docs/tutorial.md": set(),
}
"""Files that the example of each page writes."""
WITH_RUNS = {"docs/howto/run_log.md"}
"""Pages whose example reads runs: a training and an alignment."""
MADE = ("reference", "about", "notebooks")
"""Folders of pages that are made while the site is built, which checks links to them."""
PLACEHOLDERS = ("RUN", "CONFIG")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_a_page_run_one_after_the_other(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name in WITH_RUNS:
        with tarfile.open(ROOT / "tests" / "first_version" / "runs.tar.gz") as archive:
            archive.extractall(tmp_path, filter="data")
    names = {"__name__": "page"}
    for code in EXAMPLES[name]:
        exec(compile(code, name, "exec"), names)
    for file in FILES[name]:
        assert (tmp_path / file).stat().st_size > 100
    if "ndg.pdf" in FILES[name]:
        assert (tmp_path / "ndg.pdf").read_bytes().startswith(b"%PDF")


LINES = {
    name: re.findall(r"^    ((?:\w+ = )?(?:ndg\.|graph\.|fitness\(|from ndg).*)$", page, flags=re.MULTILINE)
    for name, page in PAGES.items()
    if name.startswith("docs/importance/")
}


@pytest.fixture(scope="module")
def subject():
    """Names that the pages of scores use: a network, its data and a graph."""
    torch.manual_seed(0)
    encoder = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 3, 3), act=nn.ReLU()))
    layers = {"encoder": encoder, "layer": nn.Conv2d(3, 4, 3), "flat": nn.Flatten(), "out": nn.Linear(16, 3)}
    net = nn.Sequential(OrderedDict(layers)).eval()
    x = torch.randn(24, 1, 6, 6)
    data = [(x, net(x).argmax(dim=1))]
    graph = ndg.mine(ndg.extract(net, data, layers=["encoder.act"]), alpha=1.5)
    return {"ndg": ndg, "net": net, "model": net, "data": data, "loader": data, "graph": graph}


@pytest.mark.parametrize("name", [name for name, lines in LINES.items() if lines])
def test_the_lines_of_a_page_of_scores_run(name, subject):
    names = dict(subject)
    for line in LINES[name]:
        exec(compile(line, name, "exec"), names)


def test_there_are_lines_of_scores():
    assert sum(map(len, LINES.values())) >= 20


def test_every_page_with_an_example_says_what_it_writes():
    assert set(EXAMPLES) == set(FILES)
    for name, files in FILES.items():
        assert len(EXAMPLES[name]) == 1
        assert set(re.findall(r'"([\w.]+\.(?:pdf|json|ndg|graphml|parquet))"', EXAMPLES[name][0])) == files


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in COMMANDS.items() for line in lines])
def test_the_program_understands_every_command(name, line):
    for command in re.split(r"\s;\s", line.partition("  #")[0]):
        words = shlex.split(command)
        if words[0] == "python":
            words = ["ndg", {"train_models.py": "train", "align.py": "align"}[words[1]], *words[2:]]
        options = parser.parse("ndg", words[1:])
        what = getattr(options, "what", [])
        if words[1] == "align" and what and what[0] in STUDIES:
            what = what[1:]
        for word in what:
            if "=" not in word and word not in PLACEHOLDERS:
                assert word in config.configs()


def test_the_program_understands_the_commands_inside_sentences():
    """Those that name a whole command; three only name an option, or the command itself."""
    found = []
    for page in PAGES.values():
        found += re.findall(r"(?<!`)`((?:ndg|python (?:align|train_models)\.py) [^`]+)`", page)
    assert len(found) > 50
    for text in found:
        if text in ("ndg COMMAND --help", "ndg diff --raw-csv", "ndg explain"):
            continue
        words = shlex.split(re.sub(r"[\[\]]", "", text).replace("python align.py", "ndg align"))
        parser.parse("ndg", words[1:] if words[0] == "ndg" else ["train", *words[2:]])


class ParsedError(Exception):
    """Raised instead of running a script whose arguments parse."""


@pytest.mark.parametrize(("name", "line"), SCRIPTS)
def test_every_analysis_parses_its_arguments(name, line, monkeypatch):
    words = shlex.split(line.partition("  #")[0])
    parse = argparse.ArgumentParser.parse_args

    def stop(parser, arguments=None, namespace=None):
        raise ParsedError(parse(parser, arguments, namespace))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr("sys.argv", words)
    monkeypatch.delitem(sys.modules, words[0], raising=False)  # Python warns of modules that run a second time
    with pytest.raises(ParsedError):
        runpy.run_module(words[0], run_name="__main__")


def test_there_are_commands_to_understand():
    assert len(COMMANDS["README.md"]) >= 8
    assert sum(len(lines) for name, lines in COMMANDS.items() if name.startswith("docs/howto/")) >= 40
    assert len(SCRIPTS) >= 6


@pytest.mark.parametrize("name", PAGES)
def test_every_file_that_a_page_links_is_there(name):
    for path in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGES[name]):
        target = Path(os.path.normpath(Path(name).parent / path))
        if target.parts[:1] != ("docs",) or target.parts[1] not in MADE:
            assert (ROOT / target).exists(), path


def test_every_analysis_that_a_page_names_is_there():
    for page in PAGES.values():
        for module in re.findall(r"\banalysis[./](?!py\b)(\w+)", page):
            assert (ROOT / "analysis" / f"{module}.py").exists(), module


def test_the_targets_of_make_are_those_of_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)\b", README)) <= targets


def test_the_readme_has_a_sentence_that_the_causal_study_prints():
    """Its figures, put into a result of the study, give the same sentence."""
    [quoted] = re.findall(r"<!-- causal -->\n(.*?)<!-- /causal -->", README, flags=re.DOTALL)
    sentence = " ".join(quoted.replace("> ", "").split())
    edges, n = (int(sentence.split(after)[0].split()[-1].replace(",", "")) for after in (" votes of", " interchanges"))
    own, low, high, best, lead, lead_low, lead_high, ceiling = map(float, re.findall(r"0\.\d{3}", sentence))
    name = sentence.split("without interventions, ")[1].split(", in 0")[0]
    layer = sentence.split("votes of ")[1].split()[0]

    def row(of: str, rate: float, lead: float = 0.0, ends: tuple[float, float] = (0.0, 0.0)) -> AccuracyRow:
        return AccuracyRow(of, (round(rate * n), n), (low, high), (0, 0), (0.0, 1.0), lead, ends)

    controls = [row(other, 0.0) for other in WITHOUT_INTERVENTION if other != name]
    table = [row(FITTED, own), row(name, best, lead, (lead_low, lead_high)), row(BITS, ceiling), *controls]
    weights = np.arange(float(edges + 1))[None]
    result = InterchangeAccuracy(layer, Votes(layer, weights, np.zeros(1), n), tuple(table))
    assert sentence == f"digits_mlp: {result.words()}"


def test_the_readme_has_the_note_that_the_demo_prints():
    assert cli_tables.NOTE in " ".join(README.split())
