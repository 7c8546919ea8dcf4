"""Which run of a config is aligned: the best on the data that are at hand, and what to do when there is none."""

import json

import pytest

from ndg.abstraction.controls import CONTROLS
from ndg.cli import main
from ndg.config import Data
from ndg.data import load
from ndg.errors import RunNotFoundError
from ndg.locations import Locations
from ndg.workflows import targets
from tests.data import fixtures

pytestmark = pytest.mark.slow

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


def test_a_run_remembers_its_data_folder_wherever_it_is_read(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("NDG_DATA", raising=False)
    monkeypatch.chdir(trained)
    assert main(["train", "digits_mlp", *QUICK, "--data", "one", "--runs", str(tmp_path), "-q"]) == 0
    monkeypatch.chdir(tmp_path)
    for folder in (None, trained / "one"):
        where = Locations(folder, tmp_path, str(tmp_path / "ndg.db"))
        [target] = targets.find(["digits_mlp"], QUICK, where)
        assert target.run["config"]["data"]["dir"] == str(trained / "one")
        assert target.experiment.data.dir == str(trained / "one")


def test_a_run_by_other_settings_is_named(trained):
    where = Locations(trained / "one", trained, str(trained / "ndg.db"))
    with pytest.raises(RunNotFoundError, match=r"-digits_mlp-train-\w+ was trained by other settings: repeat them, or"):
        targets.find(["digits_mlp"], [*QUICK, "train.epochs=2"], where)


def test_a_dry_smoke_run_leaves_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("NDG_DATA", raising=False)
    assert main(["train", "mnist_cnn", "--smoke", "--dry-run", "--runs", str(tmp_path / "runs")]) == 0
    assert "mnist_cnn-smoke" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


FAST = [
    *("trial.splits=[test]", "trial.interventions=[Q]", "trial.curve=false", "trial.minimal=0", "trial.edges=false"),
    *("trial.interchange=false", "trial.graphs=[]", "trial.draws=1", "importance.methods=[]", "report.max_nodes=8"),
]


@pytest.mark.parametrize(
    ("criterion", "runs"), [("paper", 2), ("ratio", 2), ("confidence", 1)], ids=["paper", "ratio", "confidence"]
)
def test_a_criterion_that_reads_alpha_gives_one_run_for_each(trained, capsys, criterion, runs):
    what = ["digits_mlp", *QUICK, f"data.dir={trained / 'one'}", "--runs", str(trained), f"criterion.name={criterion}"]
    assert main(["align", *what, *FAST, "criterion.alpha=[1.5,20]", "--json", "-q"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert len({run["_id"] for run in done}) == len(done) == runs
    counts = [run["results"]["mining"]["implications"] for run in done]
    assert counts == sorted(counts, reverse=True), "a larger alpha is stricter"


def test_a_plan_counts_every_pass(trained, capsys):
    """Compute batches of 8: the fitting examples once, the other splits once, and for each example on trial the
    untouched pass, the graph's and one for each control."""
    what = ["digits_mlp", *QUICK, f"data.dir={trained / 'one'}", "--runs", str(trained), "extract.compute_batch=8"]
    options = ["trial.splits=[validation,test]", "trial.interventions=[Q,G.2]", "criterion.alpha=[5]"]
    assert main(["align", *what, *options, "--dry-run", "--json"]) == 0
    [plan] = json.loads(capsys.readouterr().out)
    splits = load(Data(name="mnist", dir=str(trained / "one")))
    batches = {name: -(-len(getattr(splits, name)) // 8) for name in ("train", "validation", "test")}
    tried = (batches["validation"] + batches["test"]) * (1 + 2 * (1 + len(CONTROLS)))
    assert plan["forwards"] == sum(batches.values()) + tried
