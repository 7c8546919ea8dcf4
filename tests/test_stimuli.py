"""What a neuron sees: the examples with the largest activation, and those that break an implication."""

import base64
import json
import re
from hashlib import sha256

import matplotlib.image
import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg.activations.sampling import Subset
from ndg.errors import ConfigError, DataError, GraphError
from ndg.report.explorer.page import page
from ndg.report.explorer.table import tabulate
from ndg.runs.record import RunRecord
from ndg.stimuli.png import LARGEST, thumbnail
from ndg.stimuli.result import Examples
from ndg.workflows.seen import of_run


class Pixels(nn.Module):
    """Units that read single pixels of images, after a sigmoid, and classes that read the units."""

    latent_layer = "latent"

    def __init__(self, features=4):
        super().__init__()
        self.flat, self.latent, self.head = nn.Flatten(), nn.Sigmoid(), nn.Linear(features, 3)
        torch.manual_seed(0)
        nn.init.normal_(self.head.weight)

    def forward(self, x):
        return self.head(self.latent(self.flat(x)))


IMAGES = torch.randn(50, 1, 2, 2, generator=torch.Generator().manual_seed(0))
LOADER = [(IMAGES[:30], torch.zeros(30, dtype=torch.int64)), (IMAGES[30:], torch.zeros(20, dtype=torch.int64))]


@pytest.fixture(scope="module")
def net():
    return Pixels().eval()


@pytest.fixture(scope="module")
def graph(net):
    return ndg.mine(ndg.extract(net, LOADER), "confidence", confidence=0.6, support=1)


@pytest.mark.parametrize(("text", "sign"), [("latent:1", 1), ("~latent:1", -1)])
def test_the_top_examples_are_those_of_the_largest_activation(net, text, sign):
    seen = ndg.examples(net, LOADER, text, most=5)
    activations = torch.sigmoid(IMAGES[:, 0, 0, 1])
    expected = (sign * activations).argsort(descending=True)[:5]
    assert [example.number for example in seen.top] == expected.tolist()
    np.testing.assert_allclose([example.value for example in seen.top], activations[expected].numpy(), rtol=1e-6)
    holds = (activations > 0.5) == (sign > 0)
    assert (seen.count, seen.n, seen.threshold) == (int(holds.sum()), 50, 0.5)


def test_the_mean_images_are_those_where_it_holds_and_elsewhere(net):
    seen = ndg.examples(net, LOADER, "latent:1")
    low, high = float(IMAGES.min()), float(IMAGES.max())
    on = torch.sigmoid(IMAGES[:, 0, 0, 1]) > 0.5
    for shown, rows in ((seen.mean_holds, on), (seen.mean_else, ~on)):
        mean = IMAGES[rows].double().mean(dim=0).numpy()
        expected = np.rint(255 * (mean[0] - low) / (high - low))
        assert np.abs(pixels(shown) - expected).max() <= 1


def pixels(uri):
    """Values of a grey thumbnail, from 0 to 255."""
    import io

    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    return np.rint(255 * matplotlib.image.imread(io.BytesIO(data), format="png"))


def test_the_exceptions_of_an_edge_are_the_examples_that_break_it(net, graph):
    seen = ndg.examples(net, LOADER, "latent:0 -> label:1", like=graph, most=50)
    with torch.no_grad():
        predicted = net(IMAGES).argmax(dim=1)
    antecedent = torch.sigmoid(IMAGES[:, 0, 0, 0]) > 0.5
    broken = antecedent & (predicted != 1)
    assert {example.number for example in seen.top} == set(broken.nonzero()[:, 0].tolist())
    assert (seen.count, seen.n) == (int(broken.sum()), int(antecedent.sum()))
    assert seen.edge
    assert "fails on" in seen.words()


def test_tables_have_the_ranges_of_features():
    net, table = Pixels(4).eval(), [(IMAGES.flatten(1), torch.zeros(50, dtype=torch.int64))]
    seen = ndg.examples(net, table, "latent:2")
    first = seen.ranges[0]
    assert first.feature == "feature 2"
    on = IMAGES.flatten(1)[:, 2] > 0
    np.testing.assert_allclose(first.holds, np.quantile(IMAGES.flatten(1)[on, 2].numpy(), [0.05, 0.5, 0.95]), rtol=1e-5)
    assert "feature 2" in seen._repr_html_()


class Words(nn.Module):
    """A unit that counts a word, at the tokens that a mask leaves."""

    latent_layer = "latent"

    def __init__(self):
        super().__init__()
        self.latent, self.head = nn.ReLU(), nn.Linear(1, 2)

    def forward(self, input_ids, attention_mask):
        return self.head(self.latent(((input_ids == 7) * attention_mask).sum(dim=1, keepdim=True).float()))


def test_texts_show_the_token_without_which_the_activation_falls_most():
    ids = torch.tensor([[1, 4, 7, 5, 2, 0], [1, 4, 5, 2, 0, 0], [1, 7, 7, 5, 2, 0]])
    mask = (ids > 0).long()
    names = {0: "[PAD]", 1: "[CLS]", 2: "[SEP]", 4: "a", 5: "<b>", 7: "word"}
    data = [({"input_ids": ids, "attention_mask": mask}, torch.zeros(3, dtype=torch.int64))]
    seen = ndg.examples(Words().eval(), data, "latent:0", words=lambda ids: [names[i] for i in ids])
    assert [example.number for example in seen.top] == [2, 0, 1]
    assert seen.top[1].text == "[CLS] a ⟦word⟧ <b> [SEP]"
    assert seen.top[2].text == "[CLS] a <b> [SEP]"
    assert "&lt;b&gt;" in seen._repr_html_()


class Attention(nn.Module):
    """Tokens of three axes after an attention layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(20, 8), nn.Linear(8, 3)
        self.encode = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, input_ids, attention_mask):
        hidden = self.encode(self.embed(input_ids), src_key_padding_mask=attention_mask == 0)
        return self.head(hidden.mean(dim=1))


@pytest.mark.parametrize("tokens", ["first", "mean", "every"])
def test_a_literal_holds_as_often_as_in_the_bits(tokens):
    ids = torch.randint(1, 20, (30, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[:8, 4:] = 0
    data = [({"input_ids": ids, "attention_mask": mask}, torch.zeros(30, dtype=torch.int64))]
    net = Attention().eval()
    bits = ndg.extract(net, data, ["encode"], settings=ndg.ReadingSettings(tokens=tokens))
    names = ["encode:1", "encode:5", "label:0"]
    for name, seen in zip(names, ndg.examples(net, data, names, like=bits, most=2), strict=True):
        assert (seen.count, seen.n) == (int(bits.on()[bits.nodes.index(name)]), bits.examples)
        assert "⟦" in seen.top[0].text


def test_a_document_gives_the_same_examples(net, graph):
    for seen in ndg.examples(net, LOADER, ["latent:0", "latent:0 -> label:1", "label:2"], like=graph):
        assert Examples.from_dict(json.loads(json.dumps(seen.to_dict()))) == seen
        assert seen._repr_html_().count("<img") == len(seen.top) + bool(seen.mean_holds) + bool(seen.mean_else)


def test_large_images_become_small_and_colours_stay():
    rng = np.random.default_rng(0)
    image = rng.random((3, 150, 100))
    shown = pixels(thumbnail(image, 0, 1))
    assert shown.shape == (50, 33, 3)
    assert max(shown.shape) <= LARGEST
    np.testing.assert_allclose(shown[0, 0], 255 * image[:, :3, :3].mean(axis=(1, 2)), atol=1)
    assert pixels(thumbnail(np.zeros((2, 4, 4)), 0.0, 0.0)).tolist() == np.zeros((4, 4)).tolist()


def test_the_explorer_carries_them(net, graph):
    seen = ndg.examples(net, LOADER, ["latent:0", "latent:0 -> label:1"], like=graph)
    table = tabulate(graph, examples=seen)
    text = page(table)
    assert len(table.seen) == 2
    places = [texts[0] for texts in table.classes["texts"]]
    assert table.seen[table.classes["seen"][places.index(graph.key("latent:0"))]]["words"] == seen[0].words()
    assert re.search("img-src data:", text)
    assert seen[0].mean_holds in text


@pytest.mark.parametrize("text", ["{", "[3]", '[{"of": "a", "later": 1}]', '[{"top": [], "ranges": [], "later": 1}]'])
def test_a_damaged_or_newer_file_of_a_run_is_named(tmp_path, text):
    record = RunRecord({"_id": "r", "folder": str(tmp_path)})
    assert of_run(record) == []
    (tmp_path / "examples.json").write_text(text, encoding="utf-8")
    with pytest.raises(GraphError, match="it is damaged, or of a newer version"):
        of_run(record)


def test_examples_of_another_digest_than_was_logged_are_refused(tmp_path):
    artefact = {"name": "examples.json", "path": "examples.json", "bytes": 2, "sha256": sha256(b"[]").hexdigest()}
    record = RunRecord({"_id": "r", "folder": str(tmp_path), "artefacts": [artefact]})
    (tmp_path / "examples.json").write_text("[]")
    assert of_run(record) == []
    (tmp_path / "examples.json").write_text("[ ]")
    with pytest.raises(GraphError, match="SHA-256 is not the one that was logged"):
        of_run(record)


def test_mistakes_are_named(net, graph):
    with pytest.raises(ConfigError, match="most is a number of examples, at least 1; got 0"):
        ndg.examples(net, LOADER, "latent:0", most=0)
    with pytest.raises(GraphError, match="an edge has two ends"):
        ndg.examples(net, LOADER, "latent:0 -> latent:1 -> label:0", like=graph)
    with pytest.raises(GraphError, match="needs the nodes of a graph"):
        ndg.examples(net, LOADER, ndg.Literal(3))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(IMAGES), shuffle=True)
    with pytest.raises(DataError, match="this DataLoader shuffles"):
        ndg.examples(net, loader, "latent:0")


def test_drawn_examples_keep_their_numbers_and_inputs(net, graph):
    numbers = np.array([3, 31, 45])
    drawn = ndg.examples(net, Subset(LOADER, numbers), "latent:1", like=graph)
    alone = ndg.examples(net, [(IMAGES[numbers], torch.zeros(3, dtype=torch.int64))], "latent:1", like=graph)
    assert [each.number for each in drawn.top] == numbers[[each.number for each in alone.top]].tolist()
    assert [each.value for each in drawn.top] == [each.value for each in alone.top]
    assert [each.image for each in drawn.top] == [each.image for each in alone.top]
