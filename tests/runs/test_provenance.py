"""Versions, commits and hidden passwords."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

import ndg
from ndg.runs.provenance import commit, mask, masked, versions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mongodb://user:pa:ss@host:27017/ndg", "mongodb://user:***@host:27017/ndg"),
        ("mongodb+srv://user:p@ss/word@host/ndg?w=1", "mongodb+srv://user:***@host/ndg?w=1"),
        ("align.py c.yaml store.uri=mongodb://u:p@h/d seed=1", "align.py c.yaml store.uri=mongodb://u:***@h/d seed=1"),
        ("mongodb://h/d?tlsCertificateKeyFilePassword=abc&w=1", "mongodb://h/d?tlsCertificateKeyFilePassword=***&w=1"),
        ("mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:xyz", "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:***"),
        ("mongodb://host:27017/ndg", "mongodb://host:27017/ndg"),
        ("runs/ndg.db", "runs/ndg.db"),
        ("user@host: no URI", "user@host: no URI"),
    ],
)  # fmt: skip
def test_passwords_are_hidden_and_nothing_else(text: str, expected: str):
    assert mask(text) == expected


def test_passwords_are_hidden_anywhere_in_a_config():
    config = {"store": {"uri": "mongodb://u:p@h"}, "list": ["mongodb://u:p@h", 1, None], "seed": 0}
    assert masked(config) == {"store": {"uri": "mongodb://u:***@h"}, "list": ["mongodb://u:***@h", 1, None], "seed": 0}


def test_versions_are_those_of_the_installed_packages():
    found = versions()
    assert found["ndg"] == ndg.__version__
    assert found["torch"] == version("torch")
    assert {"python", "numpy", "numba", "networkx", "ray", "transformers", "scikit-learn", "pymongo"} <= set(found)


def test_there_is_no_commit_outside_a_checkout(tmp_path: Path):
    (tmp_path / "__init__.py").write_text("")
    assert commit(tmp_path) == (None, None)


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *arguments: str) -> str:
    identity = [
        "-c",
        "user.name=n",
        "-c",
        "user.email=e@x",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "init.defaultBranch=main",
    ]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    package = tmp_path / "ndg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (tmp_path / ".gitignore").write_text(".venv/\n")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    return package


@needs_git
def test_a_checkout_tells_its_commit_and_whether_it_has_changes(checkout: Path):
    head = git(checkout, "rev-parse", "HEAD")
    assert commit(checkout) == (head, False)
    (checkout / "new.py").write_text("")
    assert commit(checkout) == (head, True)


@needs_git
def test_a_copy_installed_inside_another_checkout_has_no_commit(checkout: Path):
    installed = checkout.parent / ".venv" / "ndg"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert commit(installed) == (None, None)


@needs_git
def test_a_checkout_without_a_commit_has_none(tmp_path: Path):
    (tmp_path / "__init__.py").write_text("")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    assert commit(tmp_path) == (None, None)
