"""The order of the house: imports go downward only, and importing is silent and quick to start."""

import ast
import subprocess
import sys
from types import ModuleType

import pytest

from tests import house
from tests.house import ROOT

HEAVY = ["torch", "ray", "pymongo", "neosqlite", "numba", "pandas", "networkx", "matplotlib", "transformers", "sklearn"]
LAZY = ["ndg", "ndg.lazy"]
NO_TORCH = ["bits", "mining", "planted", "graph", "runs", "report", "config", "nodes", "literal", "seeds", "report"]


@pytest.fixture(scope="module")
def edges():
    return house.edges(house.sources())


def test_imports_go_downward_only(edges):
    wrong = house.disorder(edges, house.EXCEPTIONS)
    assert not wrong, "\n".join(wrong)


def test_every_exception_is_still_needed(edges):
    """The list of exceptions only shrinks."""
    broken = {(house.room(importer), house.room(module)) for importer in edges for module in edges[importer]}
    broken = {pair for pair in broken if house.broken(*pair)}
    assert not set(house.EXCEPTIONS) - broken, "these imports are gone: remove their lines from tests/house.py"


def test_no_file_imports_itself_by_way_of_others(edges):
    methods = {pair: edges[pair[0]] for pair in house.METHODS}
    assert all(module in edges[importer] for importer, module in methods), "remove the line from tests/house.py"
    outside = house.edges(house.sources(), inside=False)
    assert not [pair for pair in methods if pair[1] in outside[pair[0]]], "these imports belong inside the method"
    left = {importer: {module for module in edges[importer] if (importer, module) not in methods} for importer in edges}
    assert not house.circles(left)


def test_no_folder_imports_itself_by_way_of_others(edges):
    allowed = house.EXCEPTIONS
    left = {
        importer: {module for module in modules if (house.room(importer), house.room(module)) not in allowed}
        for importer, modules in edges.items()
    }
    assert not house.circles(house.by_folder(left))


def test_an_import_upward_is_noticed():
    found = house.edges({"ndg.graph.ndg": "def f():\n    from ndg.report.dot import x", "ndg.report.dot": ""})
    assert found["ndg.graph.ndg"] == {"ndg.report.dot"}
    [wrong] = house.disorder(found)
    assert "pass the value down as an argument" in wrong
    assert not house.disorder(found, [("graph", "report")])


@pytest.mark.parametrize(
    ("importer", "module"),
    [
        ("ndg.abstraction.trial", "ndg.importance.score"),
        ("ndg.importance.score", "ndg.abstraction.trial"),
        ("ndg.graph.ndg", "ndg.activations.hooks"),
        ("ndg.comparison.models", "ndg.abstraction.trial"),
        ("ndg.rotation.basis", "ndg.counterfactual.training"),
        ("ndg.gradients.tape", "ndg.capture.reader"),
    ],
)
def test_an_import_of_a_sibling_is_noticed(importer, module):
    [wrong] = house.disorder(house.edges({importer: f"import {module}", module: ""}))
    assert "are siblings: move what both need to a room below them" in wrong


def test_an_import_of_a_workflow_by_a_report_is_noticed():
    found = house.edges({"ndg.report.html": "from ndg.workflows import align", "ndg.workflows.align": ""})
    assert "report (layer" in house.disorder(found)[0]
    assert not house.disorder(house.edges({"ndg.workflows.align": "import ndg.report.html", "ndg.report.html": ""}))


def test_a_room_without_a_layer_is_noticed():
    assert "has no layer" in house.disorder(house.edges({"ndg.attic.box": "import ndg.errors", "ndg.errors": ""}))[0]


def test_a_circle_of_files_is_noticed():
    found = {"ndg.bits.a": "from ndg.bits.b import x", "ndg.bits.b": "def f():\n    from ndg.bits import c"}
    found |= {"ndg.bits.c": "import ndg.bits.a", "ndg.bits.d": "import ndg.bits.a"}
    assert house.circles(house.edges(found)) == [["ndg.bits.a", "ndg.bits.b", "ndg.bits.c"]]
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ndg.bits.a"
    assert not house.circles(house.edges(found | {"ndg.bits.c": types}))


def test_a_circle_of_folders_is_noticed():
    """The circle that was: evaluation asks for scores, a method draws examples, which lay in evaluation."""
    score, method = "ndg.importance.score", "ndg.importance.methods.fast_ablation"
    board, subset = "ndg.importance.evaluation.board", "ndg.importance.evaluation.subset"
    found = {board: f"import {score}", score: f"import {method}", method: f"import {subset}", subset: ""}
    packages = {"ndg.importance": "", "ndg.importance.methods": "", "ndg.importance.evaluation": ""}
    assert not house.circles(house.edges(found | packages))
    assert house.circles(house.by_folder(house.edges(found | packages))) == [
        ["ndg.importance.evaluation", "ndg.importance.methods", "ndg.importance.score"]
    ]
    below = {method: "import ndg.activations.sampling", "ndg.activations.sampling": ""}
    assert not house.circles(house.by_folder(house.edges(found | packages | below)))


def test_the_package_reads_neither_configs_nor_global_params():
    for module, source in house.sources().items():
        tree = ast.parse(source if "global_params" in source or "configs" in source else "")
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not names & {"global_params", "configs"}, module
        assert "import_module" not in source or module in LAZY, module


def test_analysis_reads_runs_by_frames_alone():
    sources = {path: path.read_text() for path in (ROOT / "analysis").rglob("*.py")}
    read = {path.name: house.uses_of_logs(text) for path, text in sources.items()}
    assert read["log.py"] == {"frame", "uri"}
    assert not {name: uses for name, uses in read.items() if uses - {"frame", "uri"}}


@pytest.mark.parametrize(
    "source",
    [
        "with runs.open(uri) as log:\n    log.get('last')",
        "log = ndg.runs.open(uri)\nlog.find()",
        "def f(log: Log):\n    return log.metrics('last')",
        "runs.open(uri).best(digest)",
        "def f(where):\n    return runs.connect(where.store)",
        "from ndg.runs.record import read_all",
    ],
)
def test_another_way_to_read_runs_is_noticed(source):
    assert house.uses_of_logs(source) - {"frame", "uri"}


def loaded(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n'.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not done.stderr
    return set(done.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    ["import ndg", "import ndg.cli", "import ndg; ndg.runs; ndg.config; ndg.errors; ndg.comparison; ndg.rotation"],
)
def test_importing_is_silent(code, tmp_path):
    before = set(ROOT.iterdir())
    assert not loaded(code) & set(HEAVY)
    assert set(ROOT.iterdir()) - before <= {ROOT / "__pycache__"}  # another process of the tests may write it


@pytest.mark.slow
def test_the_logic_needs_no_torch():
    rooms = [f"ndg.{name}" for name in NO_TORCH]
    code = "import importlib, pkgutil\n"
    code += f"for room in {rooms}:\n    m = importlib.import_module(room)\n"
    code += "    inside = pkgutil.walk_packages(getattr(m, '__path__', []), room + '.')\n"
    code += "    for sub in inside: importlib.import_module(sub.name)"
    assert not loaded(code) & {"torch", "ray", "transformers"}


def test_everything_that_is_exported_can_be_had():
    import ndg

    for name in ndg.__all__:
        assert getattr(ndg, name) is not None
    assert set(ndg.__all__) == set(dir(ndg))
    with pytest.raises(AttributeError, match="no attribute 'mien'"):
        _ = ndg.mien


ROOMS = ("comparison", "importance", "rotation", "testing")
EXPORTS = """
import importlib, pkgutil, sys
import ndg

functions, rooms = (words.split() for words in sys.argv[1:])
for found in pkgutil.walk_packages(ndg.__path__, "ndg."):
    if found.name != "ndg.__main__":
        importlib.import_module(found.name)
for name in functions:
    assert callable(getattr(ndg, name)), name
for name in rooms:
    room = getattr(ndg, name)
    assert room.__all__ and set(room.__all__) == set(dir(room)), name
    for export in room.__all__:
        value = getattr(room, export)
        suite = export.endswith("_CHECKS") and isinstance(value, dict) and all(map(callable, value.values()))
        assert (callable(value) or suite) and not export.startswith("_"), f"{name}.{export}"
    assert not hasattr(room, "no_such_name"), name
"""
"""Look at the exports of the package and of its rooms after all modules of the package were imported."""


@pytest.mark.slow
def test_no_export_is_hidden_by_a_module_of_its_name():
    import ndg

    exports = {name: getattr(ndg, name) for name in ndg.__all__}  # the package `report` can be called itself
    functions = {name for name, value in exports.items() if callable(value) and not isinstance(value, ModuleType)}
    assert not functions & {path.stem for path in (ROOT / "ndg").iterdir()}, (
        "importing that module would replace the export"
    )
    command = [sys.executable, "-c", EXPORTS, " ".join(sorted(functions)), " ".join(ROOMS)]
    subprocess.run(command, check=True, cwd=ROOT)


def test_no_module_hides_a_name_that_its_package_exports():
    """Importing a module `effects` of `ndg.causal` sets the attribute `effects` of the package to the module."""
    hidden = []
    for path in (ROOT / "ndg").rglob("__init__.py"):
        if "lazily(" not in path.read_text():
            continue
        package = ".".join(path.parent.relative_to(ROOT).parts)
        modules = {each.stem for each in path.parent.iterdir()}
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module != package:
                hidden += [f"{package}.{alias.name}" for alias in node.names if (alias.asname or alias.name) in modules]
    assert hidden == []
