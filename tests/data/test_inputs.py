"""Inputs of each kind: rows of a batch equal the batch of the rows."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ndg import extract, seeds
from ndg.config import Data, Train
from ndg.data import load
from ndg.data.inputs import Form, Numbers, Pixels, Texts, Tokens, as_inputs, digest, join
from ndg.data.samples import SAMPLES
from ndg.errors import DataError
from ndg.extraction import ReadingSettings
from ndg.options import RunOptions

N, LENGTH, VOCABULARY, PADDING = 12, 9, 50, 3


def tokens(seed=0, pair=True):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, LENGTH + 1, N).astype(np.int32)
    ids = rng.integers(4, VOCABULARY, (N, LENGTH)).astype(np.int32)
    places = np.arange(LENGTH)
    ids[places >= lengths[:, None]] = PADDING
    segments = ((places >= lengths[:, None] // 2) & (places < lengths[:, None])).astype(np.uint8)
    kinds = torch.from_numpy(segments) if pair else None
    return Tokens(torch.from_numpy(ids), torch.from_numpy(lengths), kinds, VOCABULARY, PADDING)


def every_kind():
    rng = np.random.default_rng(1)
    pixels = torch.from_numpy(rng.integers(0, 256, (N, 3, 8, 8)).astype(np.uint8))
    return [
        Numbers(torch.from_numpy(rng.random((N, 5), np.float32))),
        Numbers(torch.from_numpy(rng.random((N, 1, 8, 8), np.float32))),
        Pixels(pixels),
        Pixels(pixels, crop=6),
        tokens(),
        tokens(pair=False),
        Pixels(pixels, size=11),
        Pixels(pixels, crop=4, size=5),
    ]


def columns(given):
    return given if isinstance(given, dict) else {"": given}


@pytest.mark.parametrize("kind", range(8))
@given(rows=st.lists(st.integers(0, N - 1), max_size=N))
@settings(max_examples=20, deadline=None)
def test_the_batch_of_some_rows_is_those_rows_of_the_batch(kind, rows):
    inputs = every_kind()[kind]
    chosen = torch.tensor(rows, dtype=torch.int64)
    some, whole = columns(inputs[chosen].batch()), columns(inputs.batch())
    assert len(inputs[chosen]) == len(rows)
    assert some.keys() == whole.keys()
    for name in whole:
        assert torch.equal(some[name], whole[name][chosen])
        assert some[name].shape[1:] == whole[name].shape[1:]
    assert inputs[chosen].form == inputs.form


@pytest.mark.parametrize("kind", range(8))
def test_a_digest_tells_contents_orders_and_shapes_apart(kind):
    inputs = every_kind()[kind]
    backwards = inputs[torch.arange(N - 1, -1, -1)]
    found = [digest(inputs), digest(backwards), digest(inputs[: N - 1])]
    assert len(set(found)) == 3
    assert digest(inputs[torch.arange(N)]) == found[0]


@pytest.mark.parametrize("pair", [True, False])
def test_tokens_have_one_length_and_a_mask_that_counts_them(pair):
    inputs = tokens(pair=pair)
    batch = inputs.batch()
    assert set(batch) == {"input_ids", "attention_mask"} | ({"token_type_ids"} if pair else set())
    for column in batch.values():
        assert column.shape == (N, LENGTH)
        assert column.dtype == torch.int64
    mask = batch["attention_mask"]
    assert torch.equal(mask.sum(1), inputs.lengths.long())
    assert (mask.diff(dim=1) <= 0).all()  # padding stands at the end
    assert (batch["input_ids"][mask == 0] == PADDING).all()
    if pair:
        assert set(batch["token_type_ids"].unique().tolist()) == {0, 1}
        assert (batch["token_type_ids"][mask == 0] == 0).all()
    assert inputs.form == Form("text", (LENGTH,), VOCABULARY, PADDING, 2 if pair else 1)


@pytest.mark.parametrize("pair", [True, False])
def test_training_sees_the_same_tokens_without_common_padding(pair):
    inputs = tokens(pair=pair)[torch.tensor([2, 5, 7])]
    longest = int(inputs.lengths.max())
    varied, whole = inputs.varied(Train(flip=True, pad=2), torch.Generator()), inputs.batch()
    assert varied.keys() == whole.keys()
    for name in whole:
        assert torch.equal(varied[name], whole[name][:, :longest])
    assert not whole["attention_mask"][:, longest:].any()


def test_forms_are_read_back_and_made_of_lengths():
    for form in (Form("text", (9,), 50, 3, 2), Form.of((3, 8, 8)), Form.of((5,))):
        assert Form.from_dict(form.to_dict()) == form
    assert Form.of((3, 8, 8)).kind == "image"
    assert Form.of([5]) == Form("table", (5,))


def test_texts_are_chosen_joined_and_told_one_by_one():
    texts = Texts(("a", "b", "c"), ("d", "e", "f"), cased=True)
    assert texts[np.array([2, 0])] == Texts(("c", "a"), ("f", "d"), cased=True)
    assert list(texts.sentences) == list("abcdef")
    assert list(Texts(("a",)).sentences) == ["a"]
    assert join([texts, texts[np.array([1])]]) == Texts(("a", "b", "c", "b"), ("d", "e", "f", "e"), cased=True)
    assert join([Texts(("a",)), Texts(("b",))]) == Texts(("a", "b"))
    with pytest.raises(DataError, match="pairs need two sentences; got 2 first and 1 second ones"):
        Texts(("a", "b"), ("c",))


def test_joined_inputs_are_one_after_the_other():
    pixels, crop = every_kind()[2], every_kind()[3]
    assert torch.equal(join([pixels, pixels]).values, torch.cat([pixels.values, pixels.values]))
    assert join([crop, crop]).crop == 6
    assert isinstance(as_inputs(np.zeros((2, 3), np.float32)), Numbers)
    assert isinstance(as_inputs(np.zeros((2, 1, 3, 3), np.uint8)), Pixels)


@pytest.mark.parametrize(("height", "width", "size"), [(8, 8, 21), (9, 6, 12), (30, 20, 7), (8, 8, 8)])
def test_pixels_are_scaled_as_image_files_are(height, width, size):
    from PIL import Image

    values = np.random.default_rng(0).integers(0, 256, (4, 3, height, width)).astype(np.uint8)
    expected = np.stack(
        [
            np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
            for image in values.transpose(0, 2, 3, 1)
        ]
    )
    pixels = Pixels(torch.from_numpy(values), size=size)
    apart = (255 * pixels.batch() - torch.from_numpy(expected.copy()).permute(0, 3, 1, 2)).abs()
    assert apart.max() < 1.5
    assert apart.mean() < 0.05
    assert pixels.form.shape == pixels.batch().shape[1:] == (3, size, size)
    assert torch.equal(pixels.varied(Train(), torch.Generator()), pixels.batch())


def test_crops_are_cut_from_scaled_pixels():
    pixels = every_kind()[2]
    scaled, both = Pixels(pixels.values, size=20).batch(), Pixels(pixels.values, crop=10, size=20)
    assert torch.equal(both.batch(), scaled[:, :, 5:15, 5:15])
    drawn = both.varied(Train(), torch.Generator().manual_seed(0))
    for image, whole in zip(drawn, scaled, strict=True):
        places = whole.unfold(1, 10, 1).unfold(2, 10, 1)  # [channel, top, left, height, width]
        assert (places == image[:, None, None]).all(-1).all(-1).all(0).any()


def test_a_hash_reads_the_size_but_pixels_as_they_are_keep_their_digest():
    pixels = every_kind()[2]
    assert digest(Pixels(pixels.values, size=11)) != digest(pixels)
    assert digest(Pixels(pixels.values, 6, 11)) != digest(Pixels(pixels.values, 6))
    assert digest(Pixels(pixels.values, 6, None)) == digest(every_kind()[3])


def test_a_hash_reads_the_crop():
    state, other = hashlib.sha256(), hashlib.sha256()
    every_kind()[2].update(state)
    every_kind()[3].update(other)
    assert state.digest() != other.digest()


class Words(nn.Module):
    """Attention over tokens, and a dense layer for each, read at the first token."""

    def __init__(self, form, classes):
        super().__init__()
        self.embed = nn.Embedding(form.vocabulary, 16)
        self.kinds = nn.Embedding(2, 16)
        self.mix = nn.Linear(16, 48)
        self.dense = nn.Linear(16, 20)
        self.decide = nn.Linear(20, classes)

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        hidden = self.embed(input_ids)
        if token_type_ids is not None:
            hidden = hidden + self.kinds(token_type_ids)
        mask = attention_mask[:, None, :].bool()
        hidden = hidden + nn.functional.scaled_dot_product_attention(*self.mix(hidden).chunk(3, -1), attn_mask=mask)
        return self.decide(self.dense(hidden)[:, 0].relu())


@pytest.mark.parametrize("name", ["sst2", "snli"])
@pytest.mark.parametrize("read", ["first", "mean"])
def test_bits_of_texts_do_not_depend_on_the_batch_size(name, read, tmp_path):
    SAMPLES[name](tmp_path, 0)
    splits = load(Data(name=name, dir=str(tmp_path), length=24, vocabulary=400))
    torch.manual_seed(seeds.integer(0, "init"))
    model = Words(splits.form, splits.classes).eval()
    found = [
        extract(
            model,
            splits.train.loader(size),
            ["mix", "dense"],
            settings=ReadingSettings(tokens=read, binarizer="median"),
            options=RunOptions(batch=64),
        )
        for size in (7, 64, 500)
    ]
    assert len(found[0]) == len(splits.train)
    assert all(each == found[0] for each in found[1:])

    columns = splits.train.inputs.batch()
    outputs = []
    handle = model.dense.register_forward_hook(lambda module, given, output: outputs.append(output.detach()))
    predicted = model(**columns).argmax(1)
    handle.remove()
    mask = columns["attention_mask"][..., None]
    expected = outputs[0][:, 0] if read == "first" else (outputs[0] * mask).sum(1) / mask.sum(1)
    thresholds = torch.from_numpy(found[0].thresholds[-20:]).float()
    assert (found[0].to_bool("dense") == (expected > thresholds).numpy()).mean() > 0.999  # but for roundings
    assert np.array_equal(found[0].to_bool()[:, : splits.classes].argmax(1), predicted.numpy())
