"""Which modules read ids: those that move along the path, those that stay, and ids that are refused."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg.activations.batches import forward
from ndg.errors import DataError
from ndg.gradients.embeddings import IDS
from ndg.gradients.paths import Start, starting
from ndg.importance.methods.breakdown import conductance_by_input
from ndg.importance.score import score
from ndg.importance.settings import ScoreSettings
from tests.gradients.test_embeddings import Reader, given

transformers = pytest.importorskip("transformers")


class Positions(nn.Embedding):
    """Asks the ids for their shape alone, as those of BART do."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.arange(ids.shape[1]).expand(len(ids), -1))


class Scaled(nn.Embedding):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 3 * super().forward(input)


class Several(nn.Module):
    """Two embeddings of the same ids, one of them used twice, beside positions and another text; writes in place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.wide, self.narrow, self.positions = Scaled(9, 4), nn.Embedding(9, 2), Positions(5, 4)
        self.dense, self.out = nn.Linear(6, 5), nn.Linear(5, 2)
        self.double().eval()

    def forward(self, ids: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        first = self.wide(input=ids)
        first += self.positions(ids)
        return self.of(first, self.wide(ids), self.narrow(ids), self.wide(other))

    def of(self, first, again, narrow, other):
        vectors = torch.cat([first * again, narrow], dim=-1).mean(dim=1)
        return self.out(self.dense(vectors).tanh() + functional.pad(other.mean(dim=1), (0, 1)))


def test_modules_that_read_the_same_ids_move_together_and_those_of_positions_stay():
    model = Several()
    ids, other = torch.randint(9, (2, 4, 5), generator=torch.Generator().manual_seed(2))
    other[:2] = ids[:2]
    batch = {"ids": ids, "other": other}
    wide, narrow, second = model.wide(ids), model.narrow(ids), model.wide(other)
    positions = model.positions(ids)
    with torch.no_grad(), starting(model, [batch], "zero", 256) as start:
        path = start.path(batch)
        assert {key: column.shape[-1] for key, column in path.moving.items()} == {"ids": 6, "other": 4}
        for amount in (0.0, 0.4, 1.0):
            expected = model.of(amount * wide + positions, amount * wide, amount * narrow, amount * second)
            torch.testing.assert_close(forward(model, path(amount)), expected)
    found = score(model, [batch], ["dense", "out"], "conductance")
    assert [row["cross"] for row in found.facts["completeness"]] == [False, True]
    by_token = conductance_by_input(model, [batch], "dense", [1, 3], settings=ScoreSettings(n_steps=20))
    assert {key: flows.shape for key, flows in by_token.items()} == {"ids": (2, 5), "other": (2, 5)}
    assert not by_token["other"].any()
    assert by_token["ids"].all()


def test_a_hook_of_the_user_on_the_embedding_counts_once():
    model, doubled = Reader(), Reader()
    doubled.words.weight.data *= 2
    model.words.register_forward_hook(lambda module, arguments, output: 2 * output)
    for method in ("conductance", "influence"):
        one, two = (
            score(each, given(each), ["words", "dense"], method, settings=ScoreSettings(n_steps=3))
            for each in (model, doubled)
        )
        for layer in ("words", "dense"):
            np.testing.assert_allclose(one[layer], two[layer], rtol=1e-9)
    assert len(model.words._forward_hooks) == 1


class OneHot(nn.Module):
    """Looks words up by itself; its `nn.Embedding` is of something else."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.words, self.dense = how, nn.Embedding(9, 4), nn.Linear(4, 2)
        self.bag = nn.EmbeddingBag(9, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if self.how == "shifted":
            return self.dense(self.words(ids[:, 1:]).mean(dim=1))
        if self.how == "bag":
            return self.dense(self.bag(ids))
        if self.how == "longer" and len(ids) > 16:
            return self.dense(self.words(ids.flip(1)).mean(dim=1))
        if self.how == "longer":
            return self.dense(self.words(ids).mean(dim=1))
        return self.dense((functional.one_hot(ids, 9).float() @ self.words.weight).mean(dim=1))


@pytest.mark.parametrize("how", ["one-hot", "shifted", "bag", "longer"])
@pytest.mark.parametrize("method", ["conductance", "influence"])
def test_ids_that_no_embedding_reads_as_they_are_are_refused(how, method):
    model, ids = OneHot(how), torch.arange(80).reshape(20, 4) % 9
    why = "its nn.Embedding also looks up others" if how == "longer" else "no nn.Embedding of OneHot reads it"
    message = f"the input has torch.int64 and {why}.*; .* or use method='gndi'"
    with pytest.raises(DataError, match=message):
        score(model, [ids], "dense", method)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert np.isfinite(score(model, [ids], "dense", "gndi")["dense"]).all()


class Decoder(nn.Module):
    """Reads ids twice: as they are, and in another order by the same table."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.other, self.positions = nn.Embedding(9, 4), nn.Embedding(9, 4), nn.Embedding(9, 4)
        self.dense = nn.Linear(4, 2)
        if tied:
            self.other.weight = self.words.weight
        self.tied, self.turned = tied, True

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        again = (self.other if self.tied else self.words)(ids.flip(1) if self.turned else ids)
        positions = self.positions(torch.arange(ids.shape[1]).expand(len(ids), -1))
        return self.dense((self.words(ids) * again + positions).mean(dim=1))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("method", ["conductance", "influence"])
def test_a_table_that_is_also_looked_up_for_other_ids_is_refused(tied, method):
    model, ids = Decoder(tied), torch.arange(12).reshape(3, 4) % 9
    with pytest.raises(DataError, match=r"int64 and its nn\.Embedding also looks up others, such as shifted ids"):
        score(model, [ids], "dense", method)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    model.turned = False
    assert np.isfinite(score(model, [ids], "dense", method, settings=ScoreSettings(n_steps=3))["dense"]).all()


def test_the_shifted_ids_of_a_decoder_are_refused():
    config = transformers.BartConfig(
        vocab_size=20,
        d_model=8,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=8,
        decoder_ffn_dim=8,
        num_labels=3,
        max_position_embeddings=12,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    torch.manual_seed(0)
    model = transformers.BartForSequenceClassification(config).eval()
    ids = torch.randint(3, 20, (4, 7))
    ids[:, -1] = 2
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    layer = "model.encoder.layers.0.fc1"
    with pytest.raises(DataError, match=r"input_ids has torch\.int64 and its nn\.Embedding also looks up"):
        score(model, [batch], layer, "conductance")
    assert np.isfinite(score(model, [batch], layer, "gndi")[layer]).all()


def test_an_iterator_of_texts_is_refused_and_one_of_numbers_is_not():
    with pytest.raises(DataError, match="reads the loader twice, and an iterator can be read once; pass a list"):
        score(Reader(), iter(given(Reader())), "dense", "conductance")
    numbers = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    numbers.unused = nn.Identity()
    numbers.unused.words = nn.Embedding(3, 4)
    inputs = torch.randn(5, 3)
    one, two = (score(numbers, loader, "0", "influence")["0"] for loader in ([inputs], iter([inputs])))
    np.testing.assert_array_equal(one, two)


def test_integrated_g_ndi_of_units_that_a_text_drives_is_their_ablation():
    model = Reader()
    found, exact = (score(model, given(model), "dense", method) for method in ("integrated", "ablation"))
    np.testing.assert_allclose(found["dense"], exact["dense"], rtol=2e-3)


def test_a_start_without_texts_is_as_it_was():
    inputs = torch.randn(4, 3)
    with starting(nn.Linear(3, 2), [inputs], "mean", 256) as start:
        assert isinstance(start, Start)
        path = start.path(inputs)
        assert isinstance(path(0.5), torch.Tensor)
        torch.testing.assert_close(path(0.0), inputs.mean(dim=0).expand(4, 3))
        assert IDS not in path.still
