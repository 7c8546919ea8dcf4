"""Networks over tokens: padding and neighbours do not reach the logits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ndg import data, models
from ndg.activations.batches import forward
from ndg.activations.hooks import Trace
from ndg.config import GRU, LSTM, Bert, DistilBert, Roberta
from ndg.data.inputs import TEXT, Form, Texts
from ndg.data.tokenizer import Tokenizer
from ndg.errors import ShapeError
from ndg.models.text import Pooling

TINY = {"width": 16, "depth": 2, "heads": 2, "mlp": 24, "latent": 6}
CELL = {"embedding": 7, "width": 6, "latent": 5}
NETWORKS = {
    "bert": Bert(**TINY),
    "bert, mean": Bert(**TINY, pooling="mean"),
    "roberta": Roberta(**TINY),
    "roberta, mean": Roberta(**TINY, pooling="mean"),
    "distilbert": DistilBert(**TINY),
    "distilbert, mean": DistilBert(**TINY, pooling="mean"),
    "lstm": LSTM(**CELL),
    "lstm, two layers": LSTM(**CELL, depth=2),
    "lstm, one direction": LSTM(**CELL, bidirectional=False),
    "gru": GRU(**CELL, depth=2),
}


def form(padding=0, length=14, sentences=1):
    return Form(TEXT, (length,), 30, padding, sentences)


def texts(form, lengths, seed=0):
    """Tokens of these lengths, equal for a seed at any row length."""
    generator = np.random.default_rng(seed)
    ids = torch.full((len(lengths), form.shape[0]), form.padding)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.from_numpy(generator.integers(2, form.vocabulary, length))
    mask = (torch.arange(form.shape[0]) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": ids, "attention_mask": mask}


def logits(network, columns):
    with torch.no_grad():
        return forward(network, columns)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("name", NETWORKS)
def test_longer_padding_and_what_stands_there_change_nothing(name, padding):
    network = models.build(NETWORKS[name], form(padding), 3, seed=0)
    lengths = [8, 1, 3, 8, 5]
    whole, short = texts(form(padding), lengths), texts(form(padding, length=8), lengths)
    assert torch.allclose(logits(network, whole), logits(network, short), atol=1e-5)
    other = torch.where(whole["attention_mask"] == 0, 17, whole["input_ids"])
    assert torch.allclose(logits(network, whole), logits(network, {**whole, "input_ids": other}), atol=1e-5)
    first = whole["input_ids"].clone()
    first[:, 0] = 29
    assert not torch.allclose(logits(network, whole), logits(network, {**whole, "input_ids": first}), atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_neighbours_of_a_text_do_not_change_its_last_bit(name):
    network = models.build(NETWORKS[name], form(), 3, seed=0)
    ragged = texts(form(), [6, 1, 3, 14, 5, 2, 9, 4])
    full = {key: column.clone() for key, column in texts(form(), [14] * 8, seed=1).items()}
    for columns in (ragged, full):
        columns["input_ids"][0] = 7
        columns["attention_mask"][0] = 1
    assert torch.equal(logits(network, ragged)[0], logits(network, full)[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_order_of_words_matters(name):
    network = models.build(NETWORKS[name], form(), 3, seed=0)
    one = texts(form(), [6])
    turned = {**one, "input_ids": one["input_ids"].clone()}
    turned["input_ids"][0, 1:6] = one["input_ids"][0, 1:6].flip(0)
    assert (logits(network, one) - logits(network, turned)).abs().max() > 1e-4


def test_the_segments_of_a_pair_reach_the_family_that_has_them():
    columns = texts(form(sentences=2), [9, 9])
    second = {**columns, "token_type_ids": columns["attention_mask"] * (torch.arange(14) > 4)}
    first = {**columns, "token_type_ids": torch.zeros_like(columns["attention_mask"])}
    for name, settings in NETWORKS.items():
        network = models.build(settings, form(sentences=2), 3, seed=0)
        same = torch.equal(logits(network, second), logits(network, first))
        assert same != name.startswith("bert")
        assert torch.equal(logits(network, columns), logits(network, first))


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_recurrent_layers_compute_what_torch_does_on_packed_texts(kind):
    settings = kind(**CELL, depth=2)
    network = models.build(settings, form(), 3, seed=0)
    cell = {"lstm": nn.LSTM, "gru": nn.GRU}[settings.name]
    packed = cell(7, 6, num_layers=2, bidirectional=True, batch_first=True)
    weights = {}
    for way, layers in (("", network.ahead), ("_reverse", network.back)):
        for depth, layer in enumerate(layers):
            for name, weight in layer.named_parameters():
                weights[name.replace("_l0", f"_l{depth}") + way] = weight
    packed.load_state_dict(weights)
    columns = texts(form(), [6, 1, 14, 3])
    with torch.no_grad(), Trace(network, ["states"]) as trace:
        network(**columns)
        lengths = columns["attention_mask"].sum(dim=1)
        sequence = nn.utils.rnn.pack_padded_sequence(
            network.embedding(columns["input_ids"]), lengths, batch_first=True, enforce_sorted=False
        )
        _, state = packed(sequence)
        hidden = state[0] if isinstance(state, tuple) else state
        assert torch.allclose(trace["states"], torch.cat([hidden[-2], hidden[-1]], dim=1), atol=1e-6)


def test_the_mean_of_a_text_leaves_out_what_fills_it_up():
    states = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [torch.nan, 9.0]]])
    mask = torch.tensor([[True, True, False]])
    assert Pooling("mean")(states, mask).tolist() == [[2.0, 3.0]]
    assert Pooling("first")(states, mask).tolist() == [[1.0, 2.0]]


def test_texts_without_a_mask_are_read_to_their_end():
    for settings in NETWORKS.values():
        network = models.build(settings, form(), 3, seed=0)
        columns = texts(form(), [14, 14])
        with torch.no_grad():
            assert torch.equal(network(columns["input_ids"]), logits(network, columns))


def test_sizes_are_those_of_the_config_the_tokenizer_and_the_texts():
    for settings in (NETWORKS["bert"], NETWORKS["roberta"], NETWORKS["distilbert"]):
        network = models.build(settings, form(padding=1), 3, seed=0)
        shapes = {name: tuple(weight.shape) for name, weight in network.named_parameters()}
        assert shapes["transformer.embeddings.word_embeddings.weight"] == (30, 16)
        positions = 14 + 2 if settings.name == "roberta" else 14  # that family begins to count after the padding
        assert shapes["transformer.embeddings.position_embeddings.weight"] == (positions, 16)
        assert shapes["head.pre.weight"] == (6, 16)
        assert shapes["head.decoder.weight"] == (3, 6)
        assert network.get_submodule(network.second_layer).weight.shape == (16, 24)
        assert not hasattr(network, "pretrained_parts")


def test_texts_from_a_tokenizer_go_through_every_network():
    words = Texts(("a fine film", "dull and long"), ("it is good", "it is bad"))
    tokens = Tokenizer.trained([*words.first, *(words.second or ())], vocabulary=300).encode(words, 12)
    for settings in NETWORKS.values():
        network = models.build(settings, tokens.form, 2, seed=0)
        assert logits(network, tokens.batch()).shape == (2, 2)
    assert isinstance(tokens, data.inputs.Tokens)


@pytest.mark.parametrize("settings", [Bert(), Roberta(), DistilBert(), LSTM(width=32), GRU(width=32)])
def test_a_small_network_learns_from_its_first_weights(settings):
    """Is the word 2 in the first or second half? This needs positions and words."""
    words = form(length=12)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 30, (256, 12), generator=generator)
    labels = torch.randint(0, 2, (256,), generator=generator)
    places = labels * 6 + torch.randint(0, 6, (256,), generator=generator)
    ids[torch.arange(256), places] = 2
    network = models.build(replace(settings, dropout=0.0), words, 2, seed=0).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for step in range(40):
        rows = slice(step * 32 % 256, step * 32 % 256 + 32)
        loss = nn.functional.cross_entropy(network(ids[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    assert (logits(network, {"input_ids": ids}).argmax(1) == labels).float().mean() > 0.9


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"model\.heads must divide model\.width; got 5 heads and width 128"):
        models.build(Bert(heads=5), form(), 3, seed=0)
