"""The habits of the repository: its commands, its markers, its workflows, and what its wheel holds."""

from __future__ import annotations

import ast
import importlib
import json
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import ndg

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[>=<~!; ]", text)[0].lower().replace("_", "-") for text in requirements}


def first_lines(node: ast.AST) -> list[str]:
    """First docstring lines of a module, and of the classes, methods and functions that are public in it."""
    lines = [(ast.get_docstring(node) or "").partition("\n")[0]]
    inner = [] if isinstance(node, ast.FunctionDef) else ast.iter_child_nodes(node)
    for each in inner:
        if isinstance(each, ast.ClassDef | ast.FunctionDef) and not each.name.startswith("_"):
            lines += first_lines(each)
    return [line for line in lines if line]


def test_first_docstring_lines_have_ten_words_on_average():
    paths = (ROOT / "ndg").rglob("*.py")
    lines = [line for path in paths for line in first_lines(ast.parse(path.read_text(encoding="utf-8")))]
    assert len(lines) > 2000
    assert sum(len(line.split()) for line in lines) < 10 * len(lines)
    assert not [line for line in lines if len(line.split()) > 18]


def test_ci_runs_lint_types_and_tests():
    assert {"make lint", "make test"} <= set((ROOT / ".ci" / "run").read_text().splitlines())
    assert re.search(r"^lint: .*style.* types", MAKEFILE, flags=re.MULTILINE)


def test_the_lock_holds_what_lint_and_tests_need():
    lock = names((ROOT / "requirements.lock").read_text().splitlines())
    extras = PROJECT["project"]["optional-dependencies"]
    runtime = [line for name in ("ray", "mongo", "hf", "plots", "parquet", "ui") for line in extras[name]]
    needed = names(PROJECT["project"]["dependencies"] + extras["docs"] + extras["lint"] + extras["test"] + runtime)
    assert needed - lock == {PROJECT["project"]["name"]}


def test_check_runs_files_that_exist():
    [listed] = re.findall(r"^FAST := \$\(addprefix tests/,(.*?)\)$", MAKEFILE, flags=re.MULTILINE | re.DOTALL)
    files = listed.replace("\\\n", " ").split()
    assert len(files) > 10
    assert not [file for file in files if not (ROOT / "tests" / file).exists()]


def test_every_benchmark_is_run_by_make_bench():
    [helpers] = re.findall(r"^BENCHMARKS := \$\(filter-out ([\w ]+),", MAKEFILE, flags=re.MULTILINE)
    for path in (ROOT / "benchmarks").glob("*.py"):
        is_benchmark = "from benchmarks.frame import" in path.read_text()
        assert is_benchmark != (path.stem in helpers.split()), path.stem


def test_markers_are_registered_and_checked():
    options = PROJECT["tool"]["pytest"]["ini_options"]
    assert "--strict-markers" in options["addopts"]
    assert [marker.split(":")[0] for marker in options["markers"]] == ["slow", "ray", "browser"]


def test_tests_with_the_shared_session_of_ray_are_marked(request):
    marked = [item for item in request.session.items if "ray_session" in getattr(item, "fixturenames", ())]
    assert all(item.get_closest_marker("ray") for item in marked)


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.name for path in WORKFLOWS])
def test_a_workflow_is_valid_and_calls_targets_of_make(path):
    workflow = yaml.safe_load(path.read_text())
    assert {"name", "jobs"} <= set(workflow)
    assert True in workflow or "on" in workflow  # YAML 1.1 reads `on` as a boolean
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            for target in re.findall(r"^make (\w+)", step.get("run", ""), flags=re.MULTILINE):
                assert target in TARGETS, target


def test_workflows_check_and_test_every_version_of_python_and_run_the_benchmarks():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "check.yml").read_text())
    versions = {text.rpartition(" ")[2] for text in PROJECT["project"]["classifiers"] if "Python :: 3." in text}
    for name in ("check", "test"):
        assert set(workflow["jobs"][name]["strategy"]["matrix"]["python"]) == versions
    assert "download.pytorch.org/whl/cpu" in workflow["env"]["PIP_EXTRA_INDEX_URL"]
    assert workflow["jobs"]["benchmarks"]["steps"][-1]["run"] == "make bench QUICK=--quick"


def test_pre_commit_runs_ruff_and_mypy():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert [hook["id"] for hook in hooks] == ["ruff", "ruff-format", "mypy"]
    assert all(repository["repo"] == "local" for repository in config["repos"])
    assert all(hook["language"] == "system" for hook in hooks)


def test_the_wheel_says_that_it_is_typed():
    builder = pytest.importorskip("hatchling.builders.wheel").WheelBuilder(str(ROOT))
    files = {file.distribution_path for file in builder.recurse_included_files()}
    assert {"ndg/py.typed", "ndg/__init__.py", "ndg/testing/__init__.py"} <= files
    assert not [file for file in files if file.startswith(("tests/", "tools/", "benchmarks/"))]


def test_the_sdist_has_all_that_the_wheel_is_made_of():
    """A wheel is also made from the sdist, whose patterns once left out `ndg/runs`."""
    sdist = pytest.importorskip("hatchling.builders.sdist").SdistBuilder(str(ROOT))
    files = {Path(file.path).relative_to(ROOT) for file in sdist.recurse_included_files()}
    missing = {path.relative_to(ROOT) for path in (ROOT / "ndg").rglob("*.py")} - files
    assert not missing
    assert {Path("configs/digits_mlp.yaml"), Path("README.md"), Path("LICENSE"), Path("pyproject.toml")} <= files
    assert not [file for file in files if file.parts[0] in ("runs", "build", "dist")]


@pytest.mark.skipif(find_spec("twine") is None, reason="twine is no requirement of the tests; the workflow runs it")
def test_twine_passes_the_wheel_and_the_sdist(tmp_path):
    check = importlib.import_module("twine.commands.check")
    for kind in ("sdist", "wheel"):
        module = pytest.importorskip(f"hatchling.builders.{kind}")
        builder = getattr(module, f"{kind.title()}Builder")(str(ROOT))
        assert list(builder.build(directory=str(tmp_path), versions=["standard"]))
    files = sorted(map(str, tmp_path.iterdir()))
    assert len(files) == 2
    assert not check.check(files, strict=True)


def test_the_environment_of_conda_has_the_lock_and_a_python_that_is_supported():
    document = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert (document["name"], document["channels"]) == ("ndg", ["conda-forge"])
    [pip] = [entry["pip"] for entry in document["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-r requirements.lock"]
    plain = [entry for entry in document["dependencies"] if isinstance(entry, str)]
    assert {"pip", "graphviz"} <= set(plain)
    assert all(re.fullmatch(r"[a-z0-9_.-]+([=<>]=?[\w.*]+)?", entry) for entry in plain)
    [python] = [entry.split("=")[1] for entry in plain if entry.startswith("python=")]
    assert f"Programming Language :: Python :: {python}" in PROJECT["project"]["classifiers"]


def test_templates_of_issues_ask_something():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"):
        template = yaml.safe_load(path.read_text())
        assert {"name", "description", "body"} <= set(template), path.name
        assert all(item["attributes"]["label"] for item in template["body"]), path.name


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_devcontainer_builds_the_dockerfile(kind):
    folder = ROOT / ".devcontainer" / kind
    container = json.loads((folder / "devcontainer.json").read_text())
    dockerfile = (folder / container["build"]["dockerfile"]).read_text()
    assert all(f"ARG {name}" in dockerfile for name in container["build"]["args"])
    assert ("--gpus" in container.get("runArgs", [])) == (kind == "cuda")


def test_the_citation_is_complete_and_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == ndg.__version__
    [release] = re.findall(r"\A.*?^## (.*?)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    assert release == f"{ndg.__version__} ({citation['date-released']})"
    assert {"title", "message", "authors", "abstract", "keywords", "license", "references"} <= set(citation)
    assert citation["keywords"] == PROJECT["project"]["keywords"]
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year"} <= set(reference), reference["title"]
