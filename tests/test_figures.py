"""Every section of README and docs with figures names the command that prints them, or a module that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")))
FIGURE = re.compile(
    r"(?<![\w.=/\[`-])\d*\.\d{2,}(?!\w|\.\d)|\d+(?:\.\d+)? (?:MB|GB|kB|seconds|minutes|ms|s|times)\b|\d ?%"
)
COMMAND = re.compile(r"python -m ((?:analysis|benchmarks|tools)\.\w+)|(?:ndg|align\.py|train_models\.py|make) \w+")
RULES = {
    "docs/causal.md": {"Sets that suffice"},
    "docs/data.md": {"Splits"},
    "docs/decisions/0010-prototype-controls-and-verdicts.md": None,
    "docs/decisions/0011-own-embedded-store.md": None,
    "docs/efficiency.md": {"What the numbers mean"},
    "docs/howto/pictures.md": {"What a neuron sees"},
    "docs/mining.md": {"Criteria"},
    "docs/mongodb.md": {"`runs`", "`metrics`"},
    "docs/planted.md": {"What the tables show"},
    "docs/reference/verdicts.md": {"How to read the figures", "The verdict of a report", "What to believe"},
    "docs/trial.md": {"Controls", "Edges"},
    "docs/tutorial.md": {"Install"},
}
"""Sections whose figures are rules or limits, or repeat the table of the page; None: the whole page."""


def sections(text: str) -> dict[str, str]:
    """Text by heading. What a command wrote between `begin` and `end` is one section with it."""
    text = re.sub(r"<!-- begin: (.*?) -->.*?<!-- end: .*? -->", r"`\1` 0.00", text, flags=re.DOTALL)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    parts = re.split(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def orphans(name: str, text: str) -> list[str]:
    """Headings of sections with figures and without a command."""
    rules = RULES.get(name, set())
    parts = {} if rules is None else {head: part for head, part in sections(text).items() if head not in rules}
    return [head for head, part in parts.items() if FIGURE.search(part) and not COMMAND.search(part)]


@pytest.mark.parametrize("name", PAGES)
def test_sections_with_figures_name_a_command(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not orphans(name, text)
    assert RULES.get(name, set()) is None or RULES.get(name, set()) <= set(sections(text))
    for module in filter(None, COMMAND.findall(text)):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


def test_a_figure_without_a_command_is_noticed():
    text = "# A\n\nIt reaches .93.\n\n## B\n\n    python -m analysis.planted\n\nIt reaches 0.93.\n"
    assert orphans("a.md", text) == ["A"]
    assert orphans("a.md", text.replace("reaches .93", "takes 3 s")) == ["A"]
