"""What a newcomer passes by mistake works where the meaning is plain; else the message says what to pass."""

import re
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import ndg
from ndg.errors import BitsError, ConfigError, DataError, GraphError, LayerError, UserError
from ndg.importance.score import IMPORTANCE

WIDTHS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64]


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """Users run without the type checker of the tests."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


@pytest.fixture(scope="module")
def examples():
    return torch.randn(30, 6, generator=torch.Generator().manual_seed(1)), torch.arange(30) % 3


@pytest.fixture(scope="module")
def graph(net, examples):
    return ndg.mine(ndg.extract(net, [examples], layers=["1"]), "confidence", confidence=0.6, support=2)


def test_numpy_numbers_are_numbers(net, examples):
    bits, data = ndg.extract(net, [examples], layers=["1"]), [examples]
    assert ndg.mine(bits, alpha=np.float32(5)).digest == ndg.mine(bits, alpha=5.0).digest
    assert ndg.mine(bits, "confidence", support=np.int64(5)).digest == ndg.mine(bits, "confidence", support=5).digest
    for alphas in (np.array([2.0, 5.0]), [np.float64(2), np.float32(5)]):
        assert [graph.digest for graph in ndg.sweep(bits, alphas)] == [g.digest for g in ndg.sweep(bits, [2.0, 5.0])]

    def score(method="gndi", own=None, **settings):
        return ndg.score(net, data, "1", method, settings=ndg.ScoreSettings(**settings), **(own or {}))["1"]

    assert np.array_equal(score("conductance", n_steps=np.int64(20)), score("conductance", n_steps=20))
    assert np.array_equal(score(baselines=np.float32(0.5)), score(baselines=0.5))
    assert np.array_equal(score(baselines=np.zeros(8)), score())
    assert np.array_equal(score(baselines={"1": np.zeros(8)}), score())
    assert np.array_equal(score("shapley", {"permutations": np.int64(4)}), score("shapley", {"permutations": 4}))


def test_numpy_numbers_of_options_become_python_numbers():
    options = ndg.RunOptions(batch=np.int64(32), threads=np.int8(1), seed=np.array(3), timeout=np.float32(2))
    assert options == ndg.RunOptions(batch=32, threads=1, seed=3, timeout=2.0)
    assert {type(value) for value in (options.batch, options.threads, options.seed)} == {int}
    assert type(ndg.ReadingSettings(max_examples=20.0).max_examples) is int


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ndg.RunOptions(seed="a"), "seed must be a whole number; got 'a'"),
        (lambda: ndg.RunOptions(seed=None), "seed must be a whole number; got None"),
        (lambda: ndg.RunOptions(timeout="5"), "timeout must be a number; got '5'"),
        (lambda: ndg.TrialSettings(draws=2.5), "draws must be a whole number; got 2.5"),
        (lambda: ndg.TrialSettings(beta="1"), "beta must be a number; got '1'"),
        (lambda: ndg.ReadingSettings(quantile="0.5"), "quantile must be a number; got '0.5'"),
        (lambda: ndg.RunOptions(batch=float("nan")), "batch must be a whole number; got nan"),
    ],
)
def test_settings_that_are_no_numbers_are_refused(make, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    "passed",
    [
        torch.randn(30, 6),
        (torch.randn(30, 6), torch.arange(30) % 3),
        np.zeros((30, 6)),
        {"x": torch.randn(30, 6)},
        "data/folder",
        Path("data/folder"),
        None,
        3,
        TensorDataset(torch.randn(30, 6), torch.arange(30) % 3),
    ],
    ids=lambda passed: type(passed).__name__,
)
def test_what_is_no_loader_is_refused_everywhere(passed, net, examples, graph):
    median = ndg.ReadingSettings(binarizer="median")
    calls = [
        lambda: ndg.extract(net, passed, layers=["1"]),
        lambda: ndg.extract(net, passed, layers=["1"], settings=median),
        lambda: ndg.score(net, passed, ["1"]),
        lambda: ndg.score(net, passed, ["1"], "ablation"),
        lambda: ndg.trial(net, graph, passed, fit=[examples]),
    ]
    if passed is not None:
        calls.append(lambda: ndg.trial(net, graph, [examples], fit=passed))
    for call in calls:
        with pytest.raises(DataError, match=r"a loader (is a DataLoader or a list of batches|gives)"):
            call()


def test_arrays_in_batches_are_read_as_tensors(net, examples):
    inputs, labels = examples
    bits = ndg.extract(net, [(inputs.numpy(), labels.numpy())], layers=["1"])
    assert bits.correct == ndg.extract(net, [examples], layers=["1"]).correct


@pytest.mark.parametrize("passed", ["runs/x", (nn.Linear(2, 2), None), None, nn.Linear, lambda x: x])
def test_what_is_no_network_is_refused_everywhere(passed, examples, graph):
    for call in (
        lambda: ndg.extract(passed, [examples], layers=["1"]),
        lambda: ndg.score(passed, [examples], ["1"]),
        lambda: ndg.trial(passed, graph, [examples], fit=[examples]),
    ):
        with pytest.raises(ConfigError, match=r"a network is a torch.nn.Module; got \w+; .*ndg.load_model"):
            call()


def test_a_network_on_the_meta_device_is_refused_everywhere(net, examples, graph):
    empty = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).to("meta")
    calls = [
        lambda: ndg.extract(empty, [examples], layers=["1"]),
        lambda: ndg.trial(empty, graph, [examples], fit=[examples]),
        *(lambda method=method: ndg.score(empty, [examples], ["0"], method) for method in IMPORTANCE),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match=r"'0.weight' is on the meta device.*; load the weights first"):
            call()


@pytest.mark.parametrize("passed", [lambda net: net[1], lambda net: [net[1]], lambda net: 1, lambda net: [1]])
def test_modules_and_numbers_in_place_of_paths_are_told(passed, net, examples, graph):
    layers = passed(net)
    path = "" if isinstance(layers, int) or layers == [1] else "; give its path, '1'"
    for call in (lambda: ndg.extract(net, [examples], layers=layers), lambda: ndg.score(net, [examples], layers)):
        with pytest.raises(LayerError, match=rf"layers are paths, .*; got (int|ReLU); give its path{path[15:]}"):
            call()
    with pytest.raises(GraphError, match="layer= is the name of a layer of the graph; got"):
        ndg.trial(net, graph, [examples], fit=[examples], settings=ndg.TrialSettings(layer=layers))


@pytest.mark.parametrize("passed", ["graph.json", None, nn.Linear(2, 2)])
def test_what_is_no_graph_is_refused(passed, net, examples):
    with pytest.raises(GraphError, match=r"a graph is an ndg.NDG; got .*; mine or load one"):
        ndg.trial(net, passed, [examples], fit=[examples])


def test_names_that_are_no_text_are_unknown_names(net, examples, graph):
    for call in (
        lambda: ndg.score(net, [examples], ["1"], 3),
        lambda: ndg.trial(net, graph, [examples], 3, fit=[examples]),
        lambda: ndg.score(net, [examples], ["1"], options={"seed": 1}),
        lambda: ndg.score(net, [examples], ["1"], settings=ndg.RunOptions()),
    ):
        with pytest.raises(UserError):
            call()


@pytest.mark.parametrize("width", WIDTHS, ids=str)
def test_labels_of_any_width_score_alike(width, net, examples):
    inputs, labels = examples
    narrow = [(inputs, labels.to(width))]
    for method, own in (
        ("snip", {}),
        ("grasp", {}),
        ("ablation", {"measure": "loss"}),
        ("shapley", {"payoff": "loss", "permutations": 4}),
    ):
        wanted = ndg.score(net, [examples], "0", method, **own)["0"]
        assert np.array_equal(ndg.score(net, narrow, "0", method, **own)["0"], wanted)
    assert ndg.extract(net, narrow, layers=["1"]).correct == ndg.extract(net, [examples], layers=["1"]).correct


def test_labels_from_1_are_told(net, examples):
    inputs, labels = examples
    with pytest.raises(DataError, match=r"with values 1 to 3; .*; labels that count from 1 need labels - 1"):
        ndg.extract(net, [(inputs, labels + 1)], layers=["1"])


def test_folders_and_texts_in_place_of_paths(tmp_path, net, examples):
    with pytest.raises(BitsError, match=r"packed bits are one file; .* is a folder; name a file in it"):
        ndg.extract(net, [examples], layers=["1"], file=str(tmp_path))
    with pytest.raises(UserError, match="does not exist; train first"):
        ndg.load_model(str(tmp_path))


def test_scores_are_iterated_by_layer(net, examples):
    scores = ndg.score(net, [examples], ["0", "1"])
    assert list(scores) == ["0", "1"]
    assert "1" in scores
    assert "2" not in scores


def test_a_numpy_number_is_no_set_of_literals(graph):
    with pytest.raises(GraphError, match=r"a literal is a text such as .label:0., or an ndg\.Literal; got ndarray"):
        graph.closure(np.array(3))


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (lambda labels: nn.functional.one_hot(labels, 3), r"give labels\.argmax\(1\) of one column per class"),
        (lambda labels: labels[:, None], r"give labels\[:, 0\]"),
        (lambda labels: labels.float(), r"give whole numbers, labels\.long\(\) where they are classes"),
        (lambda labels: labels > 1, r"give whole numbers, labels\.long\(\)"),
        (lambda labels: labels - 100, "leave out examples without a label, and number the classes from 0"),
    ],
)
def test_labels_that_are_no_classes_are_told_what_to_give(net, examples, change, advice):
    inputs, labels = examples
    with pytest.raises(DataError, match=rf"true labels are one class from 0 to 2 per example; got .*; {advice}"):
        ndg.extract(net, [(inputs, change(labels))], layers=["1"])


def test_a_masked_array_does_not_lose_its_mask(net, examples):
    inputs, labels = examples
    masked = np.ma.masked_greater(inputs.numpy(), 1)
    with pytest.raises(DataError, match=r"inputs are a masked array, whose mask would be lost; give its array\.filled"):
        ndg.extract(net, [(masked, labels)], layers=["1"])


def test_a_tuple_of_two_arrays_is_one_batch(net, examples):
    inputs, labels = (part.numpy() for part in examples)
    with pytest.raises(DataError, match="got a tuple of two tensors; put one batch in a list"):
        ndg.extract(net, (inputs, labels), layers=["1"])


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("a\0b.json", "text without NUL"),
        ("x" * 300 + ".json", "with names of at most 255"),
        ("https://host/graph.json", "a path of this machine"),
        (Path("s3://bucket/graph.json"), "a path of this machine"),
    ],
    ids=str,
)
def test_paths_that_are_no_files_are_refused_before_anything_is_written(name, rule, net, examples, graph):
    for call in (
        lambda: graph.save(name),
        lambda: ndg.NDG.load(name),
        lambda: ndg.render(graph, name),
        lambda: ndg.extract(net, [examples], layers=["1"], file=name),
    ):
        with pytest.raises(ConfigError, match=rule):
            call()


def test_a_path_below_the_home_folder_is_there(tmp_path, monkeypatch, graph):
    monkeypatch.setenv("HOME", str(tmp_path))
    graph.save("~/graph.json")
    assert (tmp_path / "graph.json").is_file()
    assert ndg.NDG.load(Path("~/graph.json")).digest == graph.digest


def test_a_parameter_of_another_criterion_is_refused(net, examples):
    bits = ndg.extract(net, [examples], layers=["1"])
    with pytest.raises(
        ConfigError, match=r"criterion 'paper' reads alpha; got confidence=0\.9; pass criterion='confidence', or leave"
    ):
        ndg.mine(bits, alpha=2, confidence=0.9)
    with pytest.raises(ConfigError, match=r"criterion 'wilson' reads bound; got q=0\.1; pass criterion='fisher', or"):
        ndg.mine(bits, "wilson", q=0.1)


def test_arrays_and_numbers_of_numpy_are_values_of_a_config():
    document = {
        "seed": np.int64(3),
        "criterion": {"alpha": np.array([2.0, 5.0])},
        "train": {"flip": np.True_},
        "extract": {"layers": np.array(["0.10"])},
    }
    experiment = ndg.load_config(document)
    assert (experiment.seed, experiment.criterion.alpha, experiment.train.flip) == (3, [2.0, 5.0], True)
    assert experiment.extract.layers == ["0.10"]


@pytest.mark.parametrize("document", [None, [], {}, {"layers": 5}, {"layers": [{"layer": "1", "values": "abc"}]}])
def test_another_dictionary_is_no_scores(document):
    with pytest.raises(
        ConfigError, match=r"scores are read from a dictionary that to_dict gave; got .*; pass the resul"
    ):
        ndg.Scores.from_dict(document)


@pytest.mark.parametrize("scores", [{0: float("nan")}, {"1:0": 1.0}, {10**9: 1.0}])
def test_scores_of_a_picture_are_finite_numbers_of_its_nodes(tmp_path, graph, scores):
    with pytest.raises(
        GraphError, match=r"scores of a picture are finite numbers by node, 0 to 10; got .*; pass a resu"
    ):
        ndg.render(graph, tmp_path / "a.dot", scores=scores)
