"""Words of a command line that belong nowhere: refused by name, before anything else is looked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest

import ndg
from ndg import runs
from ndg.cli import main
from ndg.config import Experiment
from ndg.errors import ConfigError, GraphError
from ndg.executors import ray_session
from ndg.graph.ndg import NDG
from ndg.runs.query import validated
from tests.references.graph_cases import drawn


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder with two runs."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("digits_mlp", "digits_cnn"):
        with runs.start(None, "train", Experiment(name=name), folder):
            pass
    return folder


def said(capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> tuple[int, str, str]:
    code = main([*words, "--runs", str(root)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    "words",
    [
        ("score", "digits_mlp", "--method", "nosuch"),
        ("score", "no-such-run", "--method", "nosuch"),
        ("score", "digits_mlp", "--scoreboard", "nosuch"),
        ("score", "digits_mlp", "importance.methods=[gndi, nosuch]"),
        ("align", "digits_mlp", "importance.methods=nosuch"),
    ],
)
def test_an_unknown_method_is_named_before_a_run_is_looked_for(root, capsys, words):
    code, _, err = said(capsys, root, *words)
    assert code == 2
    assert "nosuch" in err
    assert "method" in err
    assert "no completed train run" not in err


def test_an_unknown_intervention_is_named_before_a_run_is_looked_for(root, capsys):
    code, _, err = said(capsys, root, "align", "digits_mlp", "trial.interventions=[nosuch]")
    assert code == 2
    assert "'nosuch'" in err
    assert "no completed train run" not in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "\udcff"), "a run is named by text that UTF-8 can hold, without NUL; got '\\udcff'"),
        (("runs", "--where", '{"name": "\\ud800"}'), "name is compared with text that UTF-8 can hold"),
        (("runs", "--where", '{"name": {"$regex": "\\ud800"}}'), "name is compared with text that UTF-8 can hold"),
        (("runs", "--where", '{"name": {"$gt": "a\\u0000"}}'), "name is compared with text that UTF-8 can hold"),
        (("runs", "--where", "[]"), "--where takes a MongoDB query as JSON, such as '{\"kind\": \"train\"}'; got '[]'"),
        (("runs", "--where", ""), "--where takes a MongoDB query as JSON"),
        (("runs", "--where", "null"), "got 'null' (a query is a mapping)"),
        (("runs", "--where", "0"), "got '0' (a query is a mapping)"),
        (("runs", "--where", '{"seeds.seed": ' + "9" * 5000 + "}"), "(a number has too many digits)"),
        (("runs", "--where", "[" * 90_000), "(it has too many levels)"),
        (("runs", "--where", '{"kind": "train", "kind": "align"}'), "the key 'kind' comes twice; join both by $and"),
        (("score", "digits_mlp", "--method", "magnitude:norm=" + "9" * 5000), "norm"),
        (("show", "--store", ""), "--store names a place; got an empty text; leave it out for the usual one"),
    ],
)
def test_an_odd_word_is_named(root, capsys, words, message):
    code, out, err = said(capsys, root, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert "run log" not in err


def test_a_limit_above_all_runs_lists_all(root, capsys):
    code, out, err = said(capsys, root, "runs", "--limit", "9" * 23)
    assert (code, err) == (0, "")
    assert "digits_mlp" in out
    assert "digits_cnn" in out


def test_a_query_of_python_is_a_mapping(root):
    with runs.open(root / "ndg.db") as log:
        assert len(log.find({})) == len(log.find(None)) == 2
        for where in ([], "", 0, False):
            with pytest.raises(ValueError, match="a query is asked by a dictionary of fields or operators; got"):
                validated(where)


@pytest.mark.parametrize("words", [[], ["train"], ["runs"], ["configs"], ["completion"]], ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_help_on_a_full_disk_is_an_error(words, option, unbuffered):
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", "import sys; from ndg.cli import main; sys.exit(main())", *words, option],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert ended.returncode == 1
    assert ended.stderr == "ndg: output cannot be written: No space left on device; write to another place\n"


def test_arguments_in_one_text_are_refused():
    with pytest.raises(ConfigError, match=r"arguments of a command line must be a list; got the text 'runs'; write"):
        main("runs")


def test_tags_in_one_text_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"tags must be a list; got the text 'paper'; write \['paper'\]"):
        runs.start(None, "train", Experiment(), tmp_path, tags="paper")


def test_words_outside_ascii_reach_the_config(root, capsys):
    code, out, _ = said(capsys, root, "configs", "--json")
    assert code == 0
    assert json.loads(out)
    code, _, err = said(capsys, root, "score", "digits_mlp", "--target", "😀", "--layers", "猫😀")
    assert code == 2
    assert "Unicode" not in err
    assert 'importance.target="😀"' in err


MANY = "9" * 5000


@pytest.mark.parametrize(
    "call",
    [
        lambda: drawn().closure(f"enc:{MANY}"),
        lambda: ndg.render(drawn(), "none.svg", target=MANY),
        lambda: ndg.render(drawn(), "none.svg", target=f"label:{MANY}"),
        lambda: NDG.from_networkx(nx.DiGraph([(f"a:{MANY}", "a:1")])),
        lambda: NDG.from_networkx(nx.DiGraph([("a:²", "a:1")])),
    ],
    ids=["closure", "target", "label", "unit", "superscript"],
)
def test_a_number_of_thousands_of_digits_is_no_node(call):
    with pytest.raises(GraphError, match="got"):
        call()


def test_a_node_link_of_a_broken_list_is_named():
    graph = nx.DiGraph([("a:0", "a:1")])
    graph.nodes["a:0"]["members"] = '["a:0", '
    with pytest.raises(GraphError, match="a list of literals must be a JSON list, or texts with spaces between; got"):
        NDG.from_networkx(graph)


@pytest.mark.parametrize(("target", "read"), [("3", "3"), ("007", '"007"'), ("٣", '"٣"'), (MANY, f'"{MANY}"')])
def test_a_target_stays_the_text_that_was_typed_unless_it_is_a_number(root, capsys, target, read):
    _, _, err = said(capsys, root, "score", "digits_mlp", "--target", target)
    assert f"importance.target={read} " in err


def test_a_seed_is_named_once(root, capsys):
    code, _, err = said(capsys, root, "align", "digits_mlp", "--seeds", "1", "0", "1")
    assert code == 2
    assert "--seeds names each training once; got 1 0 1; leave out the repeated ones" in err


def test_a_long_port_is_an_address_that_does_not_answer(root, capsys):
    code, _, err = said(capsys, root, "align", "digits_mlp", "--seeds", MANY)
    assert code == 2
    assert "--seeds takes whole numbers" in err
    with pytest.raises(OSError, match="a port is below 65,536"):
        ray_session._reach("127.0.0.1:99999")
