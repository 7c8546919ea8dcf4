"""The shape of public functions: at most 8 parameters, and no caller of ours that passes an old keyword."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType

import ndg
from ndg.importance.settings import ScoreSettings
from ndg.options import RunOptions
from tests.house import ROOT, sources
from tools.site import api

MOST = 8
CALLERS = ("ndg", "analysis", "benchmarks", "examples")
BESIDE = ("workloads.py",)
"""Files that must also run with an earlier checkout, which knows the old keywords alone."""

Functions = dict[str, list[str]]
"""Parameters of functions by name."""


def public(source: str) -> Iterator[tuple[str, list[str], bool]]:
    """Name and parameters of each public function and method, and whether it takes old keywords too."""
    tree = ast.parse(source)
    for owner in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]:
        for node in owner.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                names = [one.arg for one in (*every, node.args.vararg, node.args.kwarg) if one is not None]
                names = names[isinstance(owner, ast.ClassDef) :]
                yield node.name, names, any("old_keywords" in ast.unparse(one) for one in node.decorator_list)


def too_long(module: str, source: str) -> list[str]:
    """What is wrong with the functions of a module."""
    return [
        f"{module}.{name} has {len(names)} parameters, more than {MOST}: make a frozen dataclass of its settings"
        for name, names, _ in public(source)
        if len(names) > MOST
    ]


def exports() -> Iterator[tuple[str, FunctionType]]:
    """Every function that `ndg` and the modules in `ndg.__all__` export."""
    for name in ndg.__all__:
        value = getattr(ndg, name)
        for one in [getattr(value, part) for part in dir(value)] if isinstance(value, ModuleType) else [value]:
            if inspect.isfunction(one) and one.__module__.startswith("ndg."):
                yield f"{one.__module__}.{one.__name__}", one


def old_calls(source: str, functions: Mapping[str, list[str]]) -> list[str]:
    """Calls that pass a keyword which the function, `ndg.room.name`, takes as a deprecated one only."""
    fields = {field.name for kind in (RunOptions, ScoreSettings) for field in dataclasses.fields(kind)}
    nodes = list(ast.walk(ast.parse(source)))
    imports = [
        (node.module or "?", alias) for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    known: Functions = {}
    for path, own in functions.items():
        module, name = path.rsplit(".", 1)
        known |= {f"{module.rsplit('.', 1)[-1]}.{name}": own, f"ndg.{name}": own}
        aliases = (alias for start, alias in imports if alias.name == name and module.startswith(start))
        known |= {alias.asname or name: own for alias in aliases}
    last = {name.rpartition(".")[2] for name in known}
    wrong = []
    for node in nodes:
        if not isinstance(node, ast.Call) or getattr(node.func, "attr", getattr(node.func, "id", None)) not in last:
            continue
        own = known.get(ast.unparse(node.func))
        if own is None:
            continue
        open_ended = "own" in own or "parameters" in own
        for keyword in node.keywords:
            old = keyword.arg in fields if open_ended else keyword.arg is not None
            if old and keyword.arg not in own:
                wrong.append(f"line {node.lineno}: {ast.unparse(node.func)}({keyword.arg}=...)")
    return wrong


def decorated() -> Functions:
    """Parameters of the functions that take old keywords, by path."""
    return {
        f"{module}.{name}": names for module, source in sources().items() for name, names, old in public(source) if old
    }


def test_no_public_function_has_more_than_eight_parameters():
    wrong = [line for module, source in sources().items() for line in too_long(module, source)]
    assert not wrong, "\n".join(wrong)


def test_no_export_has_more_than_eight_parameters():
    found = dict(exports())
    assert {"ndg.abstraction.trial.trials", "ndg.extraction.extract", "ndg.discovery.mine"} <= set(found)
    for name, function in found.items():
        assert len(inspect.signature(function).parameters) <= MOST, name


def test_the_test_of_parameters_can_fail():
    long = "def study(a, b, c, d, e, f, g, h, i): pass\ndef _inner(a, b, c, d, e, f, g, h, i): pass\n"
    assert too_long("ndg.x", long) == [
        "ndg.x.study has 9 parameters, more than 8: make a frozen dataclass of its settings"
    ]
    assert too_long("ndg.x", "class A:\n    def of(cls, a, b, c, d, e, f, g, *h, **i): pass\n")
    assert not too_long("ndg.x", "class A:\n    def of(cls, a, b, c, d, e, f, *g, **h): pass\n")


def test_none_of_our_own_callers_passes_an_old_keyword():
    functions = decorated()
    assert {"ndg.abstraction.trial.trials", "ndg.extraction.extract", "ndg.discovery.mine"} <= set(functions)
    wrong = [
        f"{path.relative_to(ROOT)} {call}"
        for folder in CALLERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.name not in BESIDE
        for call in old_calls(path.read_text(), functions)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_test_of_callers_can_fail():
    functions = {"ndg.room.study": ["model", "settings", "options"]}
    bare = "from ndg.room import study\n"
    assert old_calls(bare + "study(net, seed=3)", functions) == ["line 2: study(seed=...)"]
    assert old_calls("ndg.study(net, seed=3)", functions)
    assert old_calls("room.study(net, seed=3)", functions)
    assert not old_calls("study(net, seed=3)", functions)
    assert not old_calls(bare + "study(net, options=RunOptions(seed=3))", functions)


def test_the_public_api_is_the_stored_one():
    """A change is meant, or it is a break: docs/deprecation.md says what a change needs."""
    stored, now = api.STORED.read_text(encoding="utf-8").splitlines(), list(api.lines())
    gone, new = [line for line in stored if line not in set(now)], [line for line in now if line not in set(stored)]
    changes = "\n".join([*(f"- {line}" for line in gone), *(f"+ {line}" for line in new)])
    assert not changes, f"the public API changed; if that is meant, run python -m tools.site.api\n{changes}"
    assert stored == now


def test_the_stored_api_has_functions_classes_and_methods():
    stored = api.STORED.read_text(encoding="utf-8")
    assert '\nndg.mine(bits: Bits, criterion: Rule = "paper", *, pairs: Pairs = "all",' in stored
    assert "options: RunOptions = RunOptions()" in stored
    assert "\nndg.NDG.load(path: str | os.PathLike[str]) -> NDG\n" in stored
    assert "\nndg.NDG.thresholds\n" in stored
    assert "\nndg.errors.ConfigError\n" in stored
