"""Own networks without labels, and loaders of other packages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg.data import Tokenizer
from ndg.errors import GraphError, ShapeError
from ndg.graph.ndg import NDG
from ndg.literal import Literal


class Encoder(nn.Module):
    """Two dense layers; it returns states and no logits."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 12), nn.Linear(12, 8)

    def forward(self, x):
        return {"last_hidden_state": self.second(self.first(x).relu())}


def test_labels_false_gives_the_neurons_that_the_layers_show(tmp_path):
    network, inputs = Encoder(), torch.randn(700, 6, generator=torch.Generator().manual_seed(1))
    bits = ndg.extract(network, [inputs[:500]], ["first", "second"], settings=ndg.ReadingSettings(labels=False))
    assert bits.nodes.labels == 0
    assert bits.correct is None
    with torch.no_grad():
        first = network.first(inputs[:500])
        expected = torch.cat([first, network.second(first.relu())], dim=1) > 0
    assert (bits.to_bool() == expected.numpy()).all()
    assert (
        ndg.extract(
            network,
            [(inputs[:500], torch.zeros(500).long())],
            ["first", "second"],
            settings=ndg.ReadingSettings(labels=False),
        )
        == bits
    )
    in_file = [
        ndg.extract(
            network,
            [inputs[:500]],
            ["first", "second"],
            file=tmp_path / "b",
            settings=ndg.ReadingSettings(labels=False),
        )
        for _ in "ab"
    ]
    assert in_file == [bits, bits]
    with pytest.raises(ShapeError, match=r"logits of shape.*labels=False for a graph of its neurons alone"):
        ndg.extract(network, [inputs], ["first"])


@pytest.mark.parametrize("criterion", ["paper", "ratio", "wilson", "fisher", "confidence"])
def test_a_graph_without_labels_goes_all_the_way(tmp_path, criterion):
    network, inputs = Encoder(), torch.randn(1500, 6, generator=torch.Generator().manual_seed(1))
    bits = ndg.extract(network, [inputs[:1000]], ["first", "second"], settings=ndg.ReadingSettings(labels=False))
    held_out = ndg.extract(network, [inputs[1000:]], like=bits)
    assert held_out.nodes == bits.nodes
    graph = ndg.mine(bits, criterion, **({"alpha": 3} if criterion in ("paper", "ratio") else {}))
    dense = bits.to_bool()
    for antecedent, consequent in zip(
        graph.implications.antecedents[:40], graph.implications.consequents[:40], strict=True
    ):
        a, c = Literal.of(int(antecedent)), Literal.of(int(consequent))
        precision = (dense[:, c.node] == c.value)[dense[:, a.node] == a.value].mean()
        assert precision > 0.5
    assert len(graph) > 0
    assert graph.held_out(held_out).precision > 0.5
    assert graph.stats(bits).paper.neurons == 20
    assert NDG.load(graph.save(tmp_path / "g.json")).digest == graph.digest
    assert NDG.from_networkx(graph.to_networkx(), bits).nodes == graph.nodes
    follows = graph.implications.consequents[graph.implications.antecedents == antecedent]
    assert graph.closure(a).literals >= {a, *(Literal.of(int(code)) for code in follows)}
    assert "0 labels and 20 neurons" in graph.rules(limit=2)
    for ending in ("svg", "dot", "graphml", "gexf", "json", "csv"):
        assert ndg.render(graph, tmp_path / f"g.{ending}").stat().st_size > 100
    assert ndg.render(graph, tmp_path / "t.svg", target="first:0").is_file()
    with pytest.raises(GraphError, match=r"this graph has none, got 0; name a literal such as 'first:0'"):
        ndg.render(graph, tmp_path / "t.svg", target=0)
    with pytest.raises(ShapeError, match="needs at least 2 classes; the graph has 0"):
        ndg.trial(network, graph, [(inputs, torch.zeros(1500).long())], settings=ndg.TrialSettings(layer="first"))


class Reader(nn.Module):
    """Mean of the embeddings of the tokens that are attended to, and two classes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.hidden, self.out = nn.Embedding(300, 16), nn.Linear(16, 8), nn.Linear(8, 2)

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        mask = attention_mask[:, :, None].float()
        return {"logits": self.out(self.hidden((self.words(input_ids) * mask).sum(1) / mask.sum(1)).relu())}


def test_batches_of_a_collator_of_transformers_are_read():
    from transformers import DataCollatorWithPadding, PreTrainedTokenizerFast

    words = Tokenizer.trained([f"word{number} and more of it" for number in range(50)], vocabulary=290)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words.backend, pad_token="[PAD]")
    items = [{**tokenizer(f"word{n} " * (1 + n % 5)), "label": n % 2} for n in range(60)]
    fixed = DataCollatorWithPadding(tokenizer, padding="max_length", max_length=48)
    loader = torch.utils.data.DataLoader(items, batch_size=7, collate_fn=fixed)
    bits = ndg.extract(Reader(), loader, ["hidden"])
    assert (bits.examples, bits.nodes.labels) == (60, 2)
    assert bits.correct is not None
    whole = fixed(items)
    tensors = {"input_ids": whole["input_ids"], "attention_mask": whole["attention_mask"], "labels": whole["labels"]}
    assert np.array_equal(ndg.extract(Reader(), [tensors], ["hidden"]).words, bits.words)
    dynamic = torch.utils.data.DataLoader(items, batch_size=7, collate_fn=DataCollatorWithPadding(tokenizer))
    with pytest.raises(ShapeError, match=r"pad to one length.*padding='max_length', max_length=N"):
        ndg.extract(Reader(), dynamic, ["hidden"])
