"""What may import what: the order of the rooms of `ndg/`, and the rules that `tests/test_house.py` holds up.

A room is a folder or a single file directly in `ndg/`. Imports inside functions count. Imports for type checkers alone
do not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).parent.parent

LAYERS = [
    "errors addresses escape lazy extras allocation paths atomic signed_lines checksum_kernel checksums compiled "
    "cancellation literal nodes seeds intervals progress terminal plots options results",
    "bits mining planted",
    "config locations",
    "graph | data models activations | executors",
    "units module_state probe run_study",
    "gradients | capture",
    "interventions",
    "extraction discovery stimuli",
    "abstraction | importance | comparison | counterfactual | rotation | training",
    "compression | causal",
    "efficiency",
    "runs",
    "report",
    "workflows | ui",
    "commands doctor cli __main__ testing",
]
"""A room may import earlier layers and its own arm; `|` parts siblings, which do not import each other."""

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""Imports of rooms that break the order today, and what becomes of them. It is empty, and stays so."""

METHODS = {
    ("ndg.bits.matrix", "ndg.bits.file"): "BitMatrix.save and BitMatrix.open",
    ("ndg.runs.record", "ndg.runs.show"): "RunRecord._repr_html_",
}
"""Methods of a value that hand it to a module which imports the value: these imports are inside the method."""

Edges = dict[str, set[str]]
"""Imported modules by importing module."""


def sources(root: Path = ROOT) -> dict[str, str]:
    """Source of every module of `ndg/`, by its dotted name."""
    found = {}
    for path in sorted((root / "ndg").rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        found[module.removesuffix(".__init__")] = path.read_text()
    return found


def imported(source: str, modules: Iterable[str], inside: bool = True) -> set[str]:
    """Those of the modules that a source imports; `inside` functions too. Names of a package count as the package."""
    known, found = set(modules), set()
    for node in _nodes(ast.parse(source), inside):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & known


def _nodes(tree: ast.AST, inside: bool) -> Iterator[ast.AST]:
    """Nodes of a tree, without blocks that only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not inside:
            continue
        yield node
        yield from _nodes(node, inside)


def edges(modules: Mapping[str, str], inside: bool = True) -> Edges:
    """Which modules each module imports. The package `ndg` itself is left out: it only names what others hold."""
    names = [name for name in modules if name != "ndg"]
    return {name: imported(modules[name], names, inside) - {name} for name in names}


def room(module: str) -> str:
    return module.split(".")[1]


def places() -> dict[str, tuple[int, int]]:
    """Layer and arm of every room."""
    return {
        name: (depth, arm)
        for depth, layer in enumerate(LAYERS)
        for arm, part in enumerate(layer.split("|"))
        for name in part.split()
    }


def broken(importer: str, imported: str) -> str:
    """What is wrong with an import of one room by another, and what to do; empty if it goes downward."""
    order = places()
    for name in (importer, imported):
        if name not in order:
            return f"{name} has no layer: give it one in tests/house.py"
    here, there = order[importer], order[imported]
    if there[0] < here[0] or there == here:
        return ""
    if there[0] == here[0]:
        return f"{importer} and {imported} are siblings: move what both need to a room below them"
    return f"{importer} (layer {here[0]}) imports {imported} (layer {there[0]}): pass the value down as an argument"


def disorder(found: Edges, exceptions: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Imports that break the order of the rooms."""
    allowed = set(exceptions)
    wrong = []
    for importer, modules in sorted(found.items()):
        for module in sorted(modules):
            pair = room(importer), room(module)
            if pair not in allowed and (why := broken(*pair)):
                wrong.append(f"{importer} imports {module}: {why}")
    return wrong


def circles(found: Edges) -> list[list[str]]:
    """Groups of modules each of which imports itself by way of the others."""
    graph = nx.DiGraph([(importer, module) for importer, modules in found.items() for module in modules])
    return sorted(sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1)


def by_folder(found: Edges) -> Edges:
    """The same imports between folders.

    Files of a folder that has folders in it count one by one, so a registry and the base class of what it registers may
    lie beside the folder of its entries.
    """
    folders = {_folder(module, found) for module in found}
    parents = {folder.rpartition(".")[0] for folder in folders}
    groups = {module: folder if (folder := _folder(module, found)) not in parents else module for module in found}
    joined: Edges = {}
    for importer, modules in found.items():
        for module in modules:
            if groups[importer] != groups[module]:
                joined.setdefault(groups[importer], set()).add(groups[module])
    return joined


def _folder(module: str, found: Edges) -> str:
    """The folder of a module; a package lies in itself."""
    inside = any(name.startswith(module + ".") for name in found)
    return module if inside else module.rpartition(".")[0]


def uses_of_logs(source: str) -> set[str]:
    """What a source reads of run logs: their attributes, and other names of `ndg.runs` that read runs."""
    tree = list(ast.walk(ast.parse(source)))
    logs = {node.arg for node in tree if isinstance(node, ast.arg) and node.annotation and "Log" in _text(node)}
    for node in tree:
        target = node.optional_vars if isinstance(node, ast.withitem) else None
        value = node.context_expr if isinstance(node, ast.withitem) else getattr(node, "value", None)
        if isinstance(node, ast.Assign):
            target = node.targets[0]
        if isinstance(target, ast.Name) and value is not None and _is_log(value):
            logs.add(target.id)
    read = [node for node in tree if isinstance(node, ast.Attribute)]
    used = {node.attr for node in read if _is_log(node.value) or ast.unparse(node.value) in logs}
    names = {alias.name for node in tree if isinstance(node, ast.ImportFrom) for alias in node.names}
    return used | (names & READERS) | {node.attr for node in read if node.attr in READERS}


READERS = {"connect", "read_all", "Store", "begun", "unfinished"}
"""Names of `ndg.runs` that read runs without `Log.frame`."""


def _text(argument: ast.arg) -> str:
    return ast.unparse(argument.annotation) if argument.annotation else ""


def _is_log(value: ast.AST) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) in ("runs.open", "ndg.runs.open", "Log")
