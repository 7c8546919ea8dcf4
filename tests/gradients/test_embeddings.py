"""Paths of token ids lead to their embeddings: equal to the definition, to captum's, complete, and blind to padding."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg.activations.batches import forward
from ndg.errors import ConfigError, DataError, ShapeError
from ndg.gradients.paths import Start, starting
from ndg.importance.methods.breakdown import conductance_by_input
from ndg.importance.score import score
from ndg.importance.settings import ScoreSettings
from ndg.options import RunOptions
from tests.references import embeddings as reference

OPTIONS = RunOptions(batch=64)

transformers = pytest.importorskip("transformers")

LENGTHS = (7, 4, 5, 2)


def hugging_face(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A tiny network with random weights, sharp enough that texts differ."""
    torch.manual_seed(3)
    if name == "bert":
        config = transformers.BertConfig(
            vocab_size=20,
            hidden_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=12,
            max_position_embeddings=9,
            num_labels=3,
            initializer_range=0.4,
        )
        model = transformers.BertForSequenceClassification(config)
    else:
        config = transformers.DistilBertConfig(
            vocab_size=20,
            dim=8,
            n_layers=2,
            n_heads=2,
            hidden_dim=12,
            max_position_embeddings=9,
            num_labels=3,
            initializer_range=0.4,
        )
        model = transformers.DistilBertForSequenceClassification(config)
    return model.to(dtype).eval()


class Reader(nn.Module):
    """The state of a GRU after the last token that is no padding, token 0."""

    latent_layer = "dense"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.words, self.gru = nn.Embedding(20, 5, padding_idx=0), nn.GRU(5, 6, batch_first=True)
        self.dense, self.out = nn.Linear(6, 4), nn.Linear(4, 3)
        self.double().eval()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.of(self.words(ids), (ids != 0).sum(dim=1))

    def of(self, vectors: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        last = self.gru(vectors)[0][torch.arange(len(vectors)), lengths - 1]
        return self.out(self.dense(last).tanh())


def texts(padding: int = 0) -> dict[str, torch.Tensor]:
    """Texts of several lengths, filled up to the longest and by so many more."""
    ids = torch.randint(1, 20, (len(LENGTHS), max(LENGTHS)), generator=torch.Generator().manual_seed(5))
    mask = torch.arange(max(LENGTHS) + padding) < torch.tensor(LENGTHS)[:, None]
    return {"input_ids": functional.pad(ids, (0, padding)) * mask, "attention_mask": mask.long()}


def words_of(model: nn.Module) -> nn.Embedding:
    return model.words if isinstance(model, Reader) else model.get_input_embeddings()


def given(model: nn.Module, padding: int = 0) -> list:
    return [texts(padding)["input_ids"]] if isinstance(model, Reader) else [texts(padding)]


def on_vectors(model: nn.Module, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    if isinstance(model, Reader):
        return model.of(vectors, mask.sum(dim=1))
    return model(inputs_embeds=vectors, attention_mask=mask).logits


def network(name: str) -> nn.Module:
    return Reader() if name == "gru" else hugging_face(name)


NETWORKS = ("gru", "bert", "distilbert")
LAST = {"gru": "dense", "bert": "bert.pooler.dense", "distilbert": "pre_classifier"}
CROSSED = {
    "gru": ["words", "gru", "dense", "out"],
    "bert": ["bert.embeddings.word_embeddings", "bert.embeddings", "bert.encoder.layer.0", "bert.pooler", "classifier"],
    "distilbert": ["distilbert.embeddings.word_embeddings", "distilbert.transformer.layer.1", "pre_classifier"],
}
BESIDE = {"bert": "bert.encoder.layer.0.attention.self", "distilbert": "distilbert.transformer.layer.1.attention"}


def halves(name: str, model: nn.Module) -> tuple:
    """From the embeddings of one text to the units of the last dense layer, and from there to logits."""
    seen: list[torch.Tensor] = []

    def encoder(vectors: torch.Tensor) -> torch.Tensor:
        handle = model.get_submodule(LAST[name]).register_forward_hook(lambda *call: seen.append(call[2]))
        on_vectors(model, vectors[None], torch.ones(1, len(vectors), dtype=torch.long))
        handle.remove()
        return seen.pop()[0]

    def head(units: torch.Tensor) -> torch.Tensor:
        if name == "distilbert":
            return model.classifier(units.relu())
        return (model.out if name == "gru" else model.classifier)(units.tanh())

    return encoder, head


@pytest.mark.parametrize("name", NETWORKS)
def test_a_point_of_the_path_is_the_network_on_embeddings_on_the_way(name):
    model, batch = network(name), given(network(name))
    vectors, mask = words_of(model)(texts()["input_ids"]).detach(), texts()["attention_mask"]
    kept = mask.bool()[..., None]
    with torch.no_grad(), starting(model, batch, "zero", 256) as start:
        path = start.path(batch[0])
        plain = forward(model, batch[0])
        assert torch.equal(forward(model, path(1.0)), plain)
        for amount in (0.0, 0.3):
            there = torch.where(kept, amount * vectors, vectors)
            expected = on_vectors(model, there, mask)
            torch.testing.assert_close(forward(model, path(amount)), expected)
        some = torch.tensor([2, 0])
        both = forward(model, path.rows(some)(0.3, 1.0))
        torch.testing.assert_close(both, torch.cat([expected[some], plain[some]]))
        assert torch.equal(forward(model, batch[0]), plain)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_of_padded_texts_are_by_definition_those_of_each_text_alone(name):
    model, layer, steps = network(name), LAST[name], 12
    encoder, head = halves(name, model)
    slopes, tokens = 0.0, np.zeros((model.get_submodule(layer).out_features, max(LENGTHS)))
    for ids, length in zip(texts()["input_ids"], LENGTHS, strict=True):
        end = words_of(model)(ids[:length]).detach()
        target = int(head(encoder(end)).argmax())
        by_token = reference.conductance_by_token(encoder, head, 0 * end, end, target, steps)
        tokens[:, :length] += by_token / len(LENGTHS)
        slopes += reference.influence(encoder, head, 0 * end, end, target, steps) / len(LENGTHS)
    batch = given(model)
    (found,) = conductance_by_input(
        model, batch, layer, settings=ScoreSettings(n_steps=steps), options=RunOptions(batch=3)
    ).values()
    np.testing.assert_allclose(found, tokens, rtol=1e-6, atol=1e-9)
    influence = score(
        model, batch, layer, "influence", settings=ScoreSettings(n_steps=steps), options=RunOptions(batch=9)
    )[layer]
    np.testing.assert_allclose(influence, slopes, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_tokens_of_a_unit_add_up_to_its_conductance(name):
    model, layer, units, steps = network(name), LAST[name], [0, 2], 100
    (tokens,) = conductance_by_input(model, given(model), layer, units, settings=ScoreSettings(n_steps=steps)).values()
    whole = score(model, given(model), layer, "conductance", settings=ScoreSettings(n_steps=steps))[layer]
    np.testing.assert_allclose(tokens.sum(axis=1), whole[units], atol=0.02 * np.abs(whole).max())


@pytest.mark.parametrize("baseline", ["zero", "mean"])
@pytest.mark.parametrize("name", NETWORKS)
def test_layers_that_all_paths_cross_add_up_to_the_change_of_the_logit(name, baseline):
    model = network(name)
    layers = [*CROSSED[name], *([BESIDE[name]] if name in BESIDE else [])]
    steps, most = (256, 1e-2) if name == "distilbert" else (None, 1e-3)  # it ends in a ReLU
    found = score(
        model,
        given(model),
        layers,
        "conductance",
        settings=ScoreSettings(baselines=baseline, n_steps=steps),
        options=OPTIONS,
    )
    by_layer = {row["layer"]: row for row in found.facts["completeness"]}
    assert [layer for layer, row in by_layer.items() if row["cross"]] == CROSSED[name]
    assert all(by_layer[layer]["relative"] <= most for layer in CROSSED[name])
    if name in BESIDE:
        assert by_layer[BESIDE[name]]["relative"] > 0.05
    vectors, mask = words_of(model)(texts()["input_ids"]).detach(), texts()["attention_mask"]
    kept = mask.bool()
    begin = torch.zeros(vectors.shape[-1]).double() if baseline == "zero" else vectors[kept].mean(dim=0)
    before = on_vectors(model, torch.where(kept[..., None], begin, vectors), mask)
    after = on_vectors(model, vectors, mask)
    change = (after - before).gather(1, after.argmax(dim=1)[:, None]).mean().item()
    assert found.whole[CROSSED[name][-1]] == pytest.approx(change, abs=most * found.facts["logit_change"])
    assert found.baseline == f"{baseline} embedding"


def test_captum_gives_the_same_numbers_on_embeddings_as_inputs():
    attr = pytest.importorskip("captum.attr")

    class OnVectors(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.model(inputs_embeds=vectors, attention_mask=mask).logits

    model, steps = hugging_face("bert"), 100
    inputs = {key: column[:1] for key, column in texts().items()}  # without padding, which captum would count
    vectors = words_of(model)(inputs["input_ids"]).detach()
    target = int(forward(model, inputs).argmax())
    layers = ["bert.encoder.layer.0", "bert.encoder.layer.1.output.dense", "bert.pooler.dense"]
    ours = score(model, [inputs], layers, "conductance", settings=ScoreSettings(n_steps=steps), options=OPTIONS)
    for layer in layers:
        theirs = attr.LayerConductance(OnVectors(model), model.get_submodule(layer)).attribute(
            vectors,
            baselines=0 * vectors,
            target=target,
            additional_forward_args=(inputs["attention_mask"],),
            n_steps=steps,
            internal_batch_size=64,
        )
        theirs = (theirs[0] if isinstance(theirs, tuple) else theirs).detach()
        theirs = theirs.reshape(-1, theirs.shape[-1]).sum(dim=0).numpy()
        np.testing.assert_allclose(ours[layer], theirs, atol=3 / steps * np.abs(theirs).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_padding_and_batches_change_nothing(name):
    model = network(name)
    layer, settings = LAST[name], ScoreSettings(n_steps=8)
    for method in ("conductance", "influence"):
        expected = score(model, given(model), layer, method, settings=settings)[layer]
        for size, padding in ((1, 0), (3, 1), (40, 2)):
            options = RunOptions(batch=size)
            found = score(model, given(model, padding), layer, method, settings=settings, options=options)[layer]
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    if name == "gru":
        return
    changed = texts()
    changed["input_ids"] = torch.where(changed["attention_mask"] == 0, 9, changed["input_ids"])
    for baseline in ("zero", "mean"):
        one, two = (
            score(model, [batch], layer, "conductance", settings=ScoreSettings(n_steps=8, baselines=baseline))[layer]
            for batch in (texts(), changed)
        )
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)


def test_baselines_are_embeddings_by_name_or_for_all():
    model = hugging_face("bert")
    layer, batch = LAST["bert"], texts()
    ids, mask = batch["input_ids"], batch["attention_mask"].bool()

    def found(baselines: object) -> np.ndarray:
        return score(model, [batch], layer, "influence", settings=ScoreSettings(n_steps=4, baselines=baselines))[layer]

    zero = found("zero")
    for same in (
        torch.zeros(8),
        torch.zeros(7, 8),
        torch.zeros(1, 7, 8),
        torch.zeros(1, 1),
        {"input_ids": torch.zeros(8)},
    ):
        np.testing.assert_array_equal(found(same), zero)
    np.testing.assert_array_equal(found({}), zero)
    mean = words_of(model)(ids)[mask].mean(dim=0).detach()
    np.testing.assert_allclose(found("mean"), found(mean), rtol=1e-9)
    word = words_of(model).weight[4].detach()
    assert np.abs(found(word) - zero).max() > 1e-3
    np.testing.assert_array_equal(found(word), found({"input_ids": word.expand(7, 8)}))


@pytest.mark.parametrize(
    ("baseline", "error", "message"),
    [
        (3, ConfigError, "the baseline of token ids is zero, mean, or a tensor of embeddings; got 3, which may be"),
        (torch.zeros(7, dtype=torch.int64), ConfigError, r"got a tensor of torch.int64, which may be a token"),
        (
            torch.zeros(9),
            ShapeError,
            r"one example embedded, \(7, 8\); got \(9,\) for 'input_ids'; give such a tensor, 'z",
        ),
        (torch.zeros(6, 8), ShapeError, r"one example embedded, \(7, 8\); got \(6, 8\)"),
        ({"attention_mask": torch.zeros(8)}, ConfigError, "baselines are of inputs that move; got 'attention_mask'"),
    ],
)
def test_baselines_that_do_not_fit_are_refused(baseline, error, message):
    with pytest.raises(error, match=message):
        score(hugging_face("bert"), [texts()], LAST["bert"], "conductance", settings=ScoreSettings(baselines=baseline))


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
            return self.dense(self.words(ids.flip(0)).mean(dim=1))
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
        assert not path.tokens("")
