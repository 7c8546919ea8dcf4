"""Commands show the class names of a run, and `--target` takes them."""

import csv
import json
import sys
import textwrap

import pytest

from ndg import runs
from ndg.cli import main

pytestmark = pytest.mark.slow

MODULE = """
    import torch
    from torch import nn

    def data(count):
        torch.manual_seed(count)
        x = torch.randn(count, 4)
        return [(x, x[:, :3].argmax(1))]

    def net():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 3))
        network.class_names = ["猫", "dog/two", "=1+1"]
        return network, data(300), data(200)
"""
FEW = ["trial.interventions=[]", "importance.methods=[gndi]"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Options for a folder with two align runs of one network, whose classes have names."""
    folder = tmp_path_factory.mktemp("named")
    (folder / "named_net.py").write_text(textwrap.dedent(MODULE))
    options = ["-q", "--runs", str(folder / "runs")]
    model = ["--model", f"{folder}/named_net.py:net", *options, "--executor", "serial", "--device", "cpu"]
    path = list(sys.path)
    for alpha in (3, 2):
        assert main(["align", *model, "--layers", "1", f"criterion.alpha={alpha}", *FEW]) == 0
    yield folder, options
    sys.path[:] = path


def test_pictures_rules_and_render_show_and_take_names(home, capsys):
    folder, options = home
    assert main(["render", "last", "--svg", "--target", "dog/two", *options]) == 0
    path = folder / "runs" / capsys.readouterr().out.strip().split("runs/", 1)[1]
    assert path.name == "ndg-dog-two.svg"
    assert "What implies label:1 dog/two" in path.read_text()
    with runs.open(folder / "runs" / "ndg.db") as log:
        record = log.get("last")
    assert "dog/two" in (record.folder / "ndg.svg").read_text()
    assert "(dog/two) is predicted" in (record.folder / "report.html").read_text()
    assert main(["render", "last", "--svg", "--target", "cow", *options]) == 2
    assert (
        "a target class is between 0 and 2, or a name; got cow; there is: 猫, dog/two, =1+1" in capsys.readouterr().err
    )


def test_explain_shows_and_takes_names(home, capsys):
    _, options = home
    words = ["explain", "last", "--example", "7", "--target"]
    assert main([*words, "猫", *options]) == main([*words, "0", *options]) == 0
    out = capsys.readouterr().out
    assert out[: len(out) // 2] == out[len(out) // 2 :]
    assert "class 0 (猫)" in out
    assert ", true class " in out.split("\n")[0]
    assert main([*words, "猫", "--json", *options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["about"], document["class_names"][1]) == (0, "dog/two")


def test_diff_shows_names(home, capsys, tmp_path):
    folder, options = home
    with runs.open(folder / "runs" / "ndg.db") as log:
        ids = [record.id for record in log.find({"kind": "align"})]
    assert main(["diff", *ids, "--by-number", "--csv", str(tmp_path / "out"), *options]) == 0
    assert "Classes: class 0 (猫), class 1 (dog/two), class 2 (=1+1)." in capsys.readouterr().out
    for raw, name in (([], "'=1+1"), (["--raw-csv"], "=1+1")):
        assert main(["diff", *ids, "--by-number", "--csv", str(tmp_path / "out"), *raw, *options]) == 0
        with (tmp_path / "out" / "edges_1.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        pairs = {(row["consequent"].removeprefix("~"), row["consequent_class"]) for row in rows}
        assert ("label:1", "dog/two") in pairs
        assert ("label:2", name) in pairs
        assert all(not shown for literal, shown in pairs if not literal.startswith("label:"))


def test_score_takes_names(home, capsys):
    folder, options = home
    words = ["score", "--model", f"{folder}/named_net.py:net", "--layers", "1", "--method", "ablation", *options]
    words += ["--json", "--device", "cpu", "--executor", "serial"]
    for target in ("dog/two", "1"):
        assert main([*words, "--target", target]) == 0
        [record] = json.loads(capsys.readouterr().out)
        assert record["results"]["scores"]["ablation"]["target"] == 1
    assert main([*words, "--target", "cow"]) == 2
    assert "or a name; got cow" in capsys.readouterr().err
