"""Which run of a config is aligned: the best on the data that are at hand, and what to do when there is none."""

import pytest

from ndg.cli import main
from ndg.errors import RunNotFoundError
from ndg.locations import Locations
from ndg.workflows import targets
from tests.data import fixtures

QUICK = ["train.epochs=1", "data.name=mnist", "model.widths=[8]", "model.latent=4"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of runs of one config on two data sets, and the folders of these."""
    folder = tmp_path_factory.mktemp("targets")
    labels = [number % 10 for number in range(200)]
    for name, seed in (("one", 0), ("other", 1)):
        fixtures.write_idx(folder / name, labels, labels, seed=seed)
        assert main(["train", "digits_mlp", *QUICK, f"data.dir={folder / name}", "--runs", str(folder), "-q"]) == 0
    return folder


@pytest.mark.parametrize("name", ["one", "other"])
def test_it_is_the_best_run_on_the_data_at_hand(trained, name):
    where = Locations(trained / name, trained, str(trained / "ndg.db"))
    found = targets.find(["digits_mlp"], QUICK, where)
    assert [target.run["config"]["data"]["dir"] for target in found] == [str(trained / name)]


def test_a_run_by_other_settings_is_named(trained):
    where = Locations(trained / "one", trained, str(trained / "ndg.db"))
    with pytest.raises(RunNotFoundError, match=r"-digits_mlp-train-\w+ was trained by other settings: repeat them, or"):
        targets.find(["digits_mlp"], [*QUICK, "train.epochs=2"], where)


def test_a_dry_smoke_run_leaves_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("NDG_DATA", raising=False)
    assert main(["train", "mnist_cnn", "--smoke", "--dry-run", "--runs", str(tmp_path / "runs")]) == 0
    assert "mnist_cnn-smoke" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
