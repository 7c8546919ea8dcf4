"""Paths of token ids lead to their embeddings: equal to the definition, to captum's, complete, and blind to padding."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg.activations.batches import forward
from ndg.errors import ConfigError, ShapeError
from ndg.gradients.paths import starting
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
