"""Networks of the user's own: by a function, without classes, in batches of any kind."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import pytest

import ndg
from ndg import runs
from ndg.cli import main
from ndg.graph.ndg import NDG
from ndg.nodes import LayerUnits, NodeSpace

pytestmark = pytest.mark.slow

MODULE = """
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 10), nn.ReLU())
            self.out = nn.Linear(10, 3)

        def forward(self, x):
            return self.out(self.body(x))

    class Images(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.out = nn.Conv2d(1, 5, 2), nn.Linear(5, 3)

        def forward(self, x):
            return self.out(self.conv(x).amax((2, 3)))

    class OneHot(nn.Module):
        def __init__(self):
            super().__init__()
            self.positions, self.words = nn.Embedding(5, 10), nn.Linear(20, 10)
            self.relu, self.out = nn.ReLU(), nn.Linear(10, 3)

        def look_up(self, x):
            return self.words(nn.functional.one_hot(x, 20).float())

        def forward(self, x):
            return self.out(self.relu((self.look_up(x) + self.positions(torch.arange(5))).mean(1)))

    class Table(nn.Embedding):
        pass

    class Tokens(OneHot):
        def __init__(self):
            super().__init__()
            self.words = Table(20, 10)

        def look_up(self, x):
            return self.words(x)

    def ids(count):
        torch.manual_seed(count)
        x = torch.randint(0, 20, (count, 5))
        return [(x, x.sum(1) % 3)]

    def one_hot(): return net(OneHot), ids(300), ids(200)
    def tokens(): return net(Tokens), ids(300), ids(200)

    def data(count, shuffle=False, shape=(4,)):
        torch.manual_seed(count)
        x = torch.randn(count, *shape)
        return DataLoader(TensorDataset(x, x.flatten(1)[:, :3].argmax(1)), batch_size=50, shuffle=shuffle)

    def net(kind=Net):
        torch.manual_seed(0)
        return kind()

    def pair(): return net(), data(300), data(200)
    def named(): return net(), {"train": data(300), "validation": data(200)}
    def convolution(): return net(Images), data(300, shape=(1, 3, 3)), data(200, shape=(1, 3, 3))
    def bare(): return net().body, data(300), data(200)
    def unlabelled(): return net(), [x for x, y in data(300)], [x for x, y in data(200)]
    def alone(): return net(), {"train": data(300)}
    def shuffled(): return net(), data(300, shuffle=True), data(200)
    def same():
        loader = data(300)
        return net(), loader, loader
    def equal(): return net(), data(300), [(x, y * 0) for x, y in data(300)]
    def part(): return net(), {"train": data(300), "validation": data(300), "test": data(200)}

    class Varied(TensorDataset):
        def __getitem__(self, place):
            x, y = super().__getitem__(place)
            return x + 0.01 * torch.randn(4), y

    class Drawn(torch.utils.data.Sampler):
        def __init__(self, count): self.count = count
        def __len__(self): return self.count
        def __iter__(self): return iter(torch.randperm(self.count).tolist())

    def augmented(): return net(), DataLoader(Varied(*data(300).dataset.tensors), batch_size=50), data(200)
    def drawn(): return net(), data(300), DataLoader(data(200).dataset, batch_size=50, sampler=Drawn(200))
    def once(): return net(), iter(data(300)), data(200)
    def misnamed(): return net(), {"training": data(300), "test": data(200)}
    def other_shape(): return net(), data(300, shape=(5,)), data(200, shape=(5,))
    def no_network(): return data(300), data(200)
    def one_loader(): return net(), data(300)
    def nothing(): return None
    def broken(): raise RuntimeError("no weights here")
    def many_classes(): return net(), [(x, y + 5) for x, y in data(300)], data(200)
    constant = 3
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a module of networks, which is the current one."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "random.py").touch()
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def align(place: Path, *words: str) -> int:
    options = ["-q", "--runs", str(place / "runs"), "--executor", "serial", "--device", "cpu"]
    return main(["align", *words, "trial.minimal=20", *options])


def last(place: Path):
    with runs.open(place / "runs" / "ndg.db") as log:
        return log.get("last")


def test_a_function_is_aligned_like_a_trained_run(place, capsys):
    assert (
        align(place, "--model", "mine.py:pair", "--layers", "body.1", "criterion.alpha=3", "importance.n_steps=4") == 0
    )
    record = last(place)
    assert (record["kind"], record["parent"], record["status"], record["name"]) == ("align", None, "COMPLETED", "mine")
    assert record.figure("results.network.name") == "mine.py:pair"
    assert record.figure("results.network.parameters") == 4 * 10 + 10 + 10 * 3 + 3
    assert record.figure("results.data.examples") == {"train": 300, "test": 200}
    assert set(record["results"]["trial"]) == {"q", "g1", "g2"}
    assert set(record["results"]["scores"]) == {"gndi", "conductance"}
    names = {artefact["name"] for artefact in record["artefacts"]}
    assert {"ndg.json", "edges.csv", "trials.csv", "scores.csv", "ndg.pdf", "report.html", "config.yaml"} <= names
    told = (record.folder / "config.yaml").read_text()
    assert "criterion" in told
    assert "train:" not in told  # how it was trained is not known here
    assert "on the test split" in capsys.readouterr().out

    options = ["-q", "--runs", str(place / "runs")]
    assert main(["show", *options]) == main(["runs", *options]) == main(["render", "last", "--svg", *options]) == 0
    assert main(["align", record.id, *options]) == 2
    assert "which no run holds" in capsys.readouterr().err


def test_the_graph_is_that_of_the_public_functions(place):
    assert align(place, "--model", "mine.py:pair", "--layers", "body.1", "criterion.alpha=3") == 0
    scope: dict = {"__name__": "mine"}
    exec(textwrap.dedent(MODULE), scope)
    network, train, _ = scope["pair"]()
    graph = ndg.mine(ndg.extract(network, train, ["body.1"]), alpha=3)
    assert NDG.load(last(place).folder / "ndg.json").digest == graph.digest


def test_without_a_test_split_validation_is_held_out(place, capsys):
    words = ["--model", "mine.py:named", "--layers", "body.*", "trial.interventions=[]", "criterion.alpha=[3,5]"]
    assert align(place, *words) == 0
    record = last(place)
    assert "trial" not in record["results"]
    assert set(record["results"]["edges"]) == {"train", "validation"}
    assert "on the validation split" in capsys.readouterr().out
    report = (record.folder / "report.html").read_text()
    assert "200 validation examples" in report
    assert len(runs_of(place)) == 2


def runs_of(place: Path):
    with runs.open(place / "runs" / "ndg.db") as log:
        return log.find({"kind": "align"})


def test_channels_have_a_graph_and_a_trial(place):
    assert align(place, "--model", "mine.py:convolution", "--layers", "conv") == 0
    record = last(place)
    assert record["results"]["graph"]["layers"] == [{"layer": "conv", "units": 5}]
    assert record.figure("results.trial.q.test.values") == "mean"
    assert record.figure("results.trial.q.test.units") == 5


def test_studies_of_two_layers_take_a_network_of_ones_own(place, capsys):
    for study in ("layers", "edges", "models"):
        assert align(place, study, "--model", "mine.py:named", "--layers", "body.0", "body.1") == 0, study
        assert "report.html" in capsys.readouterr().out
    assert align(place, "--model", "mine.py:named", "--layers", "body.0", "body.1") == 2
    assert "set trial.layer to one of them" in capsys.readouterr().err


def test_a_network_without_labels_in_its_loaders_has_a_graph_and_no_accuracy(place, capsys):
    assert align(place, "--model", "mine.py:unlabelled", "--layers", "body.1") == 2
    assert "the loader of train and of test gives only inputs" in capsys.readouterr().err
    assert align(place, "--model", "mine.py:unlabelled", "--layers", "body.1", "trial.interventions=[]") == 0
    record = last(place)
    assert "accuracy" not in record["results"]
    assert record.figure("results.data.labelled") == []
    assert record.figure("results.data.classes") == 3


def test_conductance_is_left_out_where_it_is_refused_and_was_not_named(place, capsys):
    words = ["--layers", "relu", "trial.interventions=[]", "criterion.alpha=3", "importance.n_steps=3"]
    for name, scores in (("one_hot", {"gndi"}), ("tokens", {"gndi", "conductance"})):
        assert align(place, "--model", f"mine.py:{name}", *words) == 0
        assert set(last(place)["results"]["scores"]) == scores
    capsys.readouterr()
    assert align(place, "--model", "mine.py:one_hot", *words, "importance.methods=[gndi,conductance]") == 2
    assert "conductance cannot score this request: a path of inputs" in capsys.readouterr().err


def test_nothing_is_written_by_a_dry_run_or_when_the_config_is_printed(place, capsys):
    words = ["--model", "mine.py:pair", "--layers", "body.1"]
    assert align(place, *words, "--dry-run", "--json") == 0
    (plan,) = json.loads(capsys.readouterr().out)
    assert (plan["run"], plan["examples"], plan["nodes"]) == ("mine.py:pair", 500, 13)
    assert align(place, *words, "criterion.alpha=7", "--print-config") == 0
    assert "- 7.0" in capsys.readouterr().out
    assert not (place / "runs").exists()


def test_without_layers_the_error_lists_them_with_shapes(place, capsys):
    assert align(place, "--model", "mine.py:convolution") == 2
    message = capsys.readouterr().err
    assert "conv  (5, 2, 2)" in message
    assert "out  (3,)" in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.py", "written package.module:function or path/to/file.py:function; got 'mine.py'"),
        ("mine.py:absent", "has no attribute 'absent'"),
        ("nowhere.at.all:net", "No module named 'nowhere'"),
        ("no_file.py:net", "there is no file"),
        ("mine.py:constant", "names a function; mine.py:constant is a int"),
        ("random.py:net", "must not be called as a package that is in use; rename random.py"),
        ("mine.py:broken", "RuntimeError: no weights here"),
        ("mine.py:nothing", "mine.py:nothing returned NoneType"),
        ("mine.py:no_network", r"returned (DataLoader, DataLoader); the network is a torch.nn.Module"),
        ("mine.py:one_loader", "returned one DataLoader beside the network"),
        ("mine.py:alone", "judged on `test` or `validation`"),
        ("mine.py:misnamed", "loaders are named train, validation, test; got 'training'"),
        ("mine.py:once", "an iterator can be read once"),
        ("mine.py:same", "the loaders of train and of test give the same 300 inputs; give a loader of held-out"),
        ("mine.py:equal", "the loaders of train and of test give the same 300 inputs"),
        ("mine.py:part", "the loaders of train and of validation give the same 300 inputs"),
        ("mine.py:augmented", "the loader of train gave others at its second reading; make the data set deterministic"),
        ("mine.py:drawn", "the loader of test gave others at its second reading"),
        ("mine.py:shuffled", "the DataLoader of train shuffles them anew"),
        ("mine.py:other_shape", "Net given {'inputs': (256, 5)} raised RuntimeError"),
        ("mine.py:many_classes", "one class from 0 to 2 per example"),
    ],
)
def test_each_wrong_thing_is_named(place, capsys, name, message):
    assert align(place, "--model", name, "--layers", "body.1") == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("code", "where"), [("'no'", "import"), ("0", "import"), ("", "import"), ("3", "call")])
def test_a_file_that_ends_python_is_no_interrupt(place, capsys, code, where):
    line = f"import sys\nsys.exit({code})\n" if where == "import" else f"def pair():\n    raise SystemExit({code})\n"
    (place / "ending.py").write_text(line)
    assert align(place, "--model", "ending.py:pair", "--layers", "body.1") == 2
    message = capsys.readouterr().err
    assert ("sys.exit" if where == "import" else "it raised SystemExit: 3") in message
    assert "interrupted" not in message


@pytest.mark.parametrize("study", ["causal", "counterfactual"])
def test_a_study_that_chooses_on_validation_examples_needs_them(place, capsys, study):
    assert align(place, study, "--model", "mine.py:pair", "--layers", "body.1") == 2
    assert "validation examples; mine has only train, test; give a loader named validation" in capsys.readouterr().err


def test_a_module_is_found_in_the_current_folder(place):
    (place / "own_package_of_a_test").mkdir()
    (place / "own_package_of_a_test" / "__init__.py").touch()
    (place / "own_package_of_a_test" / "nets.py").write_text(textwrap.dedent(MODULE))
    words = ["--model", "own_package_of_a_test.nets:pair", "--layers", "body.1", "trial.interventions=[]"]
    assert align(place, *words) == 0
    assert last(place)["name"] == "nets"


def test_a_network_without_logits_has_a_graph_of_neurons_alone(place):
    (place / "enc.py").write_text(
        textwrap.dedent(MODULE)
        + textwrap.dedent(
            """
            class Encoder(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.dense = nn.Linear(4, 12)
                def forward(self, x):
                    return {"last_hidden_state": self.dense(x)[:, None]}
            def encoder(): return net(Encoder), data(300), data(200)
            """
        )
    )
    assert align(place, "--model", "enc.py:encoder", "--layers", "dense", "criterion.alpha=2") == 0
    record = last(place)
    graph = NDG.load(record.folder / "ndg.json")
    assert graph.nodes == NodeSpace(0, (LayerUnits("dense", 12),))
    assert len(graph) > 0
    assert not {"trial", "scores", "accuracy"} & set(record["results"])
    assert "hold among 12 units of dense" in (record.folder / "report.html").read_text()


def test_one_network_at_a_time(place, capsys):
    assert align(place, "--model", "mine.py:pair", "--hf", "folder") == 2
    assert "name one network" in capsys.readouterr().err
