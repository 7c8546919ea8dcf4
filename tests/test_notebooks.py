"""Every notebook runs, in this process, and is stored without outputs."""

from __future__ import annotations

import json

import pytest

from tools.site import notebooks

PATHS = notebooks.paths()


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])
def test_a_notebook_runs(path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    text = notebooks.markdown(path, run=True)
    assert '<div class="output">' in text
    assert "object at 0x" not in text


def test_there_are_five_notebooks_without_outputs():
    assert len(PATHS) == 5
    for path in PATHS:
        document = json.loads(path.read_text(encoding="utf-8"))
        assert document["nbformat"] == 4
        assert document["cells"][0]["cell_type"] == "markdown"
        for cell in document["cells"]:
            if cell["cell_type"] == "code":
                assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_a_cell_shows_what_it_prints_and_its_last_value(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# Title"]},
        {"cell_type": "code", "source": ["x = 2\n", "print('<x>')\n", "[x, '<b>']"]},
        {"cell_type": "code", "source": ["y = x"]},
    ]
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    shown = notebooks.markdown(path, run=True)
    assert "```text\n<x>\n```" in shown
    assert "<pre>[2, &#x27;&lt;b&gt;&#x27;]</pre>" in shown
    assert shown.endswith("```python\ny = x\n```")
    assert "<pre>" not in notebooks.markdown(path, run=False)
