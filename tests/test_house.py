"""The order of the house: imports go downward only, and importing is silent and quick to start."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each layer may import from those before it, and a room from those beside it; `|` parts arms that must not meet.
LAYERS = [
    "errors lazy allocation atomic literal nodes config seeds intervals progress locations results",
    "bits mining planted",
    "graph | data models activations | executors",
    "options",
    "units capture gradients run_batches interventions extraction discovery training abstraction importance comparison "
    "counterfactual rotation",
    "runs",
    "report workflows commands doctor cli __main__",
]
HEAVY = ["torch", "ray", "pymongo", "neosqlite", "numba", "pandas", "networkx", "matplotlib", "transformers", "sklearn"]
LAZY = ["ndg", "ndg.lazy"]
NO_TORCH = ["bits", "mining", "planted", "graph", "runs", "report", "config", "nodes", "literal", "seeds", "report"]


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def place() -> dict[str, tuple[int, int]]:
    """Layer and arm of every room."""
    return {
        name: (depth, arm)
        for depth, layer in enumerate(LAYERS)
        for arm, part in enumerate(layer.split("|"))
        for name in part.split()
    }


def imports(source: str, package: str) -> set[str]:
    """Modules of this package that a source imports, at the top or inside functions, as `ndg.room`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == package:
                found |= {f"{package}.{alias.name}" for alias in node.names}
            elif node.module.startswith(package + "."):
                found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith(package + ".")}
    return found


def broken(importer: str, imported: str) -> str:
    """What is wrong with one import, and what to do instead; empty when it goes downward."""
    order = place()
    here, there = order[importer], order[imported]
    if importer == imported or there[0] < here[0] or there == here:
        return ""
    if there[0] == here[0]:
        return f"{importer} and {imported} are arms that do not know each other: let them meet as a BitMatrix, above"
    order = f"{importer} (layer {here[0]}) imports {imported} (layer {there[0]})"
    return f"{order}: pass the value down as an argument instead"


def sources():
    for path in sorted((ROOT / "ndg").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if module != "ndg.__init__":
            yield module.removesuffix(".__init__"), path.read_text()


def test_imports_go_downward_only():
    order = place()
    wrong = []
    for module, source in sources():
        assert room(module) in order, f"{module} has no layer: give it one in tests/test_house.py"
        for imported in imports(source, "ndg"):
            if imported not in ("ndg.__version__",):
                wrong += filter(None, [broken(room(module), room(imported))])
    assert not wrong, "\n".join(wrong)


def test_the_test_of_the_order_can_fail():
    assert "pass the value down" in broken("graph", "report")
    assert "arms that do not know each other" in broken("graph", "activations")
    assert not broken("abstraction", "graph")
    assert imports("def f():\n    from ndg.report import x", "ndg") == {"ndg.report"}


def test_the_package_reads_neither_configs_nor_global_params():
    for module, source in sources():
        names = {
            alias.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for alias in node.names
        }
        assert not names & {"global_params", "configs"}, module
        assert "import_module" not in source or module in LAZY, module


def loaded(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n'.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    ["import ndg", "import ndg.cli", "import ndg; ndg.runs; ndg.config; ndg.errors; ndg.comparison; ndg.rotation"],
)
def test_importing_is_silent(code, tmp_path):
    before = set(ROOT.iterdir())
    assert not loaded(code) & set(HEAVY)
    assert set(ROOT.iterdir()) == before


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


def test_no_export_is_hidden_by_a_module_of_its_name():
    import ndg

    functions = set(ndg._HOME)
    assert not functions & {path.stem for path in (ROOT / "ndg").iterdir()}, (
        "importing that module would replace the export"
    )
    code = "import ndg, pkgutil, importlib\n"
    code += "for m in pkgutil.walk_packages(ndg.__path__, 'ndg.'):\n"
    code += "    if m.name not in ('ndg.__main__', 'ndg.report.graphviz_worker'): importlib.import_module(m.name)\n"
    code += f"for name in {sorted(functions)}: assert callable(getattr(ndg, name)), name"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("room", ["comparison", "importance", "rotation"])
def test_a_room_gives_its_functions_and_no_module_of_it_hides_one(room):
    """In a process of its own, with all modules of the room read before."""
    code = f"import ndg, pkgutil, importlib\nroom = ndg.{room}\n"
    code += "for m in pkgutil.walk_packages(room.__path__, room.__name__ + '.'): importlib.import_module(m.name)\n"
    code += "assert room._HOME and set(room._HOME) == set(room.__all__) == set(dir(room))\n"
    code += "for name in room.__all__: assert callable(getattr(room, name)) and not name.startswith('_'), name\n"
    code += "assert not hasattr(room, 'no_such_name')"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
