"""Which run log a command writes to: --store, then store.uri=, then the configs, then the locations."""

from argparse import Namespace
from pathlib import Path

import pytest

from ndg import config, runs
from ndg.cli import main
from ndg.commands.shared import with_store
from ndg.errors import ConfigError
from ndg.locations import Locations

WHERE = Locations(None, Path("runs"), "usual.db")


def chosen(names, overrides, store=None, smoke=False) -> tuple[list[str], str]:
    others, where = with_store(Namespace(store=store, smoke=smoke), [str(name) for name in names], overrides, WHERE)
    return others, where.store


@pytest.fixture
def named(tmp_path):
    """Two configs, of which the first names a store, and another one in its smoke section."""
    (tmp_path / "a.yaml").write_text("store: {uri: a.db}\nsmoke: {store: {uri: smoke.db}}\n")
    (tmp_path / "b.yaml").write_text("seed: 1\nsmoke: {seed: 2}\n")
    return tmp_path / "a.yaml", tmp_path / "b.yaml"


def test_the_store_leaves_the_overrides_and_the_option_goes_before_all(named):
    a, b = named
    assert chosen([], ["seed=1"]) == (["seed=1"], "usual.db")
    assert chosen([b, "some-run-id"], ["seed=1", "store.uri=o.db"]) == (["seed=1"], "o.db")
    assert chosen([], ["store={uri: o.db}", "model.name=cnn"]) == (["model.name=cnn"], "o.db")
    assert chosen([], ["store.uri=null"]) == ([], "usual.db")
    assert chosen([a], []) == ([], "a.db")
    assert chosen([a], [], smoke=True) == ([], "smoke.db")
    assert chosen([a, b], ["store.uri=o.db"]) == ([], "o.db")
    assert chosen([a], ["store.uri=o.db"], store="s.db") == ([], "usual.db")  # Locations.choose has taken s.db


def test_configs_of_one_command_name_one_store(named):
    with pytest.raises(ConfigError, match=r"one run log; these configs name a\.db, usual\.db; choose one with --store"):
        chosen(named, [])


@pytest.mark.filterwarnings("ignore:an experiment has no store")  # the command reads it, the experiment does not
@pytest.mark.parametrize("by", ["override", "config", "environment"])
def test_a_training_is_logged_where_the_store_says_so(by, tmp_path, monkeypatch, capsys):
    uri, what = str(tmp_path / "elsewhere.db"), ["digits_mlp", "train.epochs=1"]
    if by == "override":
        what.append(f"store.uri={uri}")
    elif by == "environment":
        monkeypatch.setenv("NDG_STORE", uri)
    else:
        what[0] = str(tmp_path / "digits_mlp.yaml")
        Path(what[0]).write_text(config.find("digits_mlp").read_text() + f"store: {{uri: {uri}}}\n")
    options = ["-q", "--runs", str(tmp_path / "runs")]
    assert main(["train", *what, *options]) == 0
    with runs.open(uri) as log:
        [record] = log.find()
    assert "store" not in record["config"]
    assert not (tmp_path / "runs" / "ndg.db").exists()
    assert main(["align", *what, *options, "--dry-run"]) == 0
    assert record.id in capsys.readouterr().out
