"""Any layers of any network: every reading is what a loop over positions finds, whatever the user's batches."""

import re
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from ndg.bits.matrix import BitMatrix
from ndg.errors import ConfigError, DataError, LayerError, ShapeError
from ndg.extraction import ReadingSettings, extract
from ndg.nodes import LayerUnits, NodeSpace
from ndg.options import RunOptions
from tests.activations.networks import CLASSES, Words, batches, conv1d, conv2d, conv3d, drawn, made, sentences, vit
from tests.references import extraction as reference

N, BATCH = 21, 8

IMAGES = {
    "conv1d": (conv1d, (2, 10), {"0": False, "1": False, "3": False, "4": False}),
    "conv2d": (conv2d, (1, 6, 6), {"0": False, "1": False, "2": False, "5": False}),
    "conv3d": (conv3d, (1, 3, 3, 3), {"0": False}),
    "vit": (
        vit,
        (1, 8, 8),
        {"vit.embeddings.patch_embeddings.projection": False}
        | {f"vit.layers.{i}.mlp.activation_fn": True for i in range(2)},
    ),
}


def kinds(found, of_tokens, channels, tokens):
    """The reading of each layer, from the axes of its output."""
    return {
        path: ("unit" if found[path].ndim == 2 else tokens if of_tokens[path] else channels, of_tokens[path])
        for path in of_tokens
    }


def hooks(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize(("channels", "tokens"), [("max", "first"), ("mean", "mean"), ("any", "every")])
def test_a_reading_is_what_a_loop_over_positions_finds(name, channels, tokens):
    build, shape, layers = IMAGES[name]
    model, inputs = made(build), drawn(N, *shape)
    bits = extract(
        model,
        batches(inputs, 5),
        layers,
        settings=ReadingSettings(channels=channels, tokens=tokens),
        options=RunOptions(batch=BATCH),
    )
    found = reference.outputs(model, inputs, list(layers), BATCH)
    readings = kinds(found, layers, channels, tokens)
    half = {path: 0.5 if isinstance(model.get_submodule(path), nn.Sigmoid) else 0.0 for path in layers}
    expected = reference.booleans(found, readings, {path: [level] * 99 for path, level in half.items()})
    assert bits.nodes.labels == CLASSES
    assert [layer.name for layer in bits.nodes.layers] == list(layers)
    assert [layer.reading for layer in bits.nodes.layers] == [reading for reading, _ in readings.values()]
    assert (bits.to_bool() == expected).all()
    assert 0 < expected.mean() < 1
    assert not hooks(model)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("tokens", ["first", "mean", "every"])
def test_padding_does_not_count(tokens, left):
    model, inputs = made(Words), sentences(N, left=left)
    kept = [row.nonzero()[:, 0].tolist() for row in inputs["attention_mask"]]
    layers = {"embed": True, "dense": True, "pooled": False}
    labels = torch.arange(N) % CLASSES
    loader = batches(inputs | {"labels": labels}, 4)
    bits = extract(model, loader, layers, settings=ReadingSettings(tokens=tokens), options=RunOptions(batch=BATCH))
    found = reference.outputs(model, inputs, list(layers), BATCH)
    expected = reference.booleans(
        found, kinds(found, layers, "max", tokens), {path: [0.0] * 9 for path in layers}, kept
    )
    assert bits.examples == (sum(map(len, kept)) if tokens == "every" else N)
    assert (bits.to_bool() == expected).all()
    right = found["logits"].argmax(1) == labels.numpy()
    assert bits.correct == right.sum()  # of the loader's examples, also where tokens are examples


@pytest.mark.parametrize("binarizer", ["auto", "median"])
@pytest.mark.parametrize(("channels", "tokens"), [("max", "first"), ("mean", "mean"), ("any", "every")])
def test_the_users_batch_size_does_not_change_a_bit(binarizer, channels, tokens):
    settings = ReadingSettings(channels=channels, tokens=tokens, binarizer=binarizer)
    how = {"settings": settings, "options": RunOptions(batch=BATCH)}
    cases = [
        (made(conv1d), drawn(N, 2, 10), ["0", "2"]),
        (made(Words), sentences(N), ["dense", "pooled"]),
        (made(vit), drawn(N, 1, 8, 8), [r".*\.activation_fn"]),
    ]
    for model, inputs, layers in cases:
        whole = extract(model, batches(inputs, N), layers, **how)
        for size in (1, 7):
            assert extract(model, batches(inputs, size), layers, **how) == whole
        assert extract(model, batches(inputs, 3), like=whole, options=RunOptions(batch=BATCH)) == whole


def test_any_position_is_max_for_a_given_threshold_and_fitted_over_all_positions():
    model, inputs = made(conv2d), drawn(N, 1, 6, 6)
    how = {"layers": ["0"], "options": RunOptions(batch=BATCH)}
    largest, some = (
        extract(model, [inputs], **how, settings=ReadingSettings(channels=name)) for name in ("max", "any")
    )
    assert (largest.words == some.words).all()
    fitted = extract(
        model, [inputs], **how, settings=ReadingSettings(channels="any", binarizer="quantile", quantile=0.9)
    )
    output = reference.outputs(model, inputs, ["0"], BATCH)["0"]
    for unit in range(4):
        expected = np.quantile(output[:, unit].flatten().astype(np.float64), 0.9)
        assert fitted.thresholds[unit] == pytest.approx(expected, rel=1e-12)
    assert (fitted.to_bool("0") == (output > fitted.thresholds[:, None, None]).any(axis=(2, 3))).all()
    layer = "vit.layers.1.mlp.fc1"
    every = extract(
        made(vit),
        [drawn(N, 1, 8, 8)],
        [layer],
        settings=ReadingSettings(tokens="every", binarizer="median"),
        options=RunOptions(batch=BATCH),
    )
    assert every.examples == N * 5
    assert every.to_bool(layer).mean(axis=0) == pytest.approx(0.5, abs=0.5 / every.examples + 1e-9)


def test_held_out_examples_are_read_as_the_first_were():
    model, inputs = made(conv2d), drawn(N, 1, 6, 6)
    first = extract(
        model,
        [inputs],
        ["0", "4"],
        settings=ReadingSettings(channels="mean", binarizer="median"),
        options=RunOptions(batch=BATCH),
    )
    assert [layer.reading for layer in first.nodes.layers] == ["mean", "unit"]
    assert extract(model, [inputs], like=first, options=RunOptions(batch=BATCH)) == first
    named = first.with_concepts({"large": np.arange(N) > 9})
    assert extract(model, [inputs], like=named, options=RunOptions(batch=BATCH)) == first
    other = nn.Sequential(nn.Sequential(nn.Flatten(), nn.Linear(36, 4)), *(nn.ReLU() for _ in range(4)))
    with pytest.raises(LayerError, match=r"'0' by 'mean'; it gives \(8, 4\) now, which is read by unit; use the bits"):
        extract(other, [inputs], like=first, options=RunOptions(batch=BATCH))


def test_an_activation_after_a_convolution_of_one_dimension_has_its_channels():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.conv = nn.GELU(), nn.Conv1d(2, 5, 3)
            self.tokens = nn.Linear(2, 4)
            self.again, self.out = nn.GELU(), nn.Linear(13, CLASSES)

        def forward(self, x):
            channels = self.act(self.conv(x)).amax(2)
            tokens = self.again(self.tokens(x.transpose(1, 2))).flatten(1)
            return self.out(torch.cat([channels, tokens[:, :8]], 1))

    bits = extract(made(Net), [drawn(N, 2, 10)], [".*"], options=RunOptions(batch=BATCH))
    assert bits.nodes.layers == (
        LayerUnits("act", 5, "max"),
        LayerUnits("conv", 5, "max"),
        LayerUnits("tokens", 4, "first"),
        LayerUnits("again", 4, "first"),
        LayerUnits("out", CLASSES),
    )


def test_layers_are_paths_or_expressions_in_the_order_of_the_network():
    bits = extract(made(conv2d), [drawn(N, 1, 6, 6)], ["6", "[025]", "0"], options=RunOptions(batch=BATCH))
    assert [layer.name for layer in bits.nodes.layers] == ["0", "2", "5", "6"]


class Shape(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.layer, self.head = nn.Identity(), nn.Linear(6, CLASSES)
        self.change = change

    def forward(self, x):
        self.layer(self.change(x))
        return self.head(x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, 0], r"(example, token, unit); 'layer' gives (8,); choose another layer"),
        (lambda x: x > 0, r"are floating-point numbers; 'layer' gives torch.bool of shape (8, 6)"),
        (lambda x: x.long(), r"are floating-point numbers; 'layer' gives torch.int64 of shape (8, 6)"),
        (lambda x: x[:, :0], r"for each of the 8 examples of a compute batch; 'layer' gives (8, 0)"),
        (lambda x: x[:, None, :0], r"for each of the 8 examples of a compute batch; 'layer' gives (8, 1, 0)"),
        (lambda x: x.t(), r"'layer' gives (6, 8) for 8 examples and (6, 4) for 4, so its first axis is another"),
        (lambda x: x.view(8, 1, 1, 1, 2, 3), r"'layer' gives (8, 1, 1, 1, 2, 3)"),
    ],
)
def test_an_output_that_cannot_be_read_is_named_with_its_shape(change, message):
    model = made(lambda: Shape(change))
    with pytest.raises(LayerError, match=re.escape(message)):
        extract(model, [drawn(N, 6)], ["layer"], options=RunOptions(batch=BATCH))
    assert not hooks(model)
    assert model.training


def test_readings_that_are_not_known_are_refused():
    with pytest.raises(ConfigError, match="channels are read by max, mean, any, each; got 'maximum'; nearest: max"):
        extract(made(conv2d), [drawn(N, 1, 6, 6)], ["0"], settings=ReadingSettings(channels="maximum"))
    with pytest.raises(ConfigError, match="tokens are read by first, mean, every, each; got 'frist'; nearest: first"):
        extract(made(vit), [drawn(N, 1, 8, 8)], ["vit"], settings=ReadingSettings(tokens="frist"))


def test_every_token_needs_the_same_tokens_in_all_layers():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.long, self.short, self.head = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(3, CLASSES)

        def forward(self, x):
            self.short(x[:, 1:])
            self.long(x)
            return self.head(x[:, 0])

    with pytest.raises(LayerError, match=r"an example has 5 at 'long' and 4 at 'short'; extract them apart, or read"):
        extract(
            made(Two),
            [drawn(N, 5, 3)],
            ["long", "short"],
            settings=ReadingSettings(tokens="every"),
            options=RunOptions(batch=BATCH),
        )


def test_an_example_of_padding_alone_is_refused():
    inputs = sentences(N)
    inputs["attention_mask"][13] = 0
    with pytest.raises(DataError, match=r"the attention_mask of example 13 leaves out all 6; leave such examples out"):
        extract(
            made(Words),
            batches(inputs, 4),
            ["dense"],
            settings=ReadingSettings(tokens="mean"),
            options=RunOptions(batch=BATCH),
        )


def test_a_value_that_is_not_a_number_names_the_example_of_its_token_and_padding_may_be_anything():
    model, inputs = made(Words), sentences(N)
    inputs["input_ids"][inputs["attention_mask"] == 0] = 10
    with torch.no_grad():
        model.embed.weight[10, 3] = float("nan")
    seen = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, 0) == 10
    inputs["input_ids"][seen] = 9
    assert (
        extract(
            model,
            batches(inputs, 4),
            ["embed"],
            settings=ReadingSettings(tokens="mean"),
            options=RunOptions(batch=BATCH),
        ).examples
        == N
    )
    inputs["input_ids"][17, 0] = 10
    with pytest.raises(LayerError, match="unit 3 of 'embed' is NaN at example 17; check the checkpoint"):
        extract(
            model,
            batches(inputs, 4),
            ["embed"],
            settings=ReadingSettings(tokens="every"),
            options=RunOptions(batch=BATCH),
        )


def test_half_and_double_precision_are_compared_exactly():
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        model, inputs = made(conv2d).to(kind), drawn(N, 1, 6, 6).to(kind)
        bits = extract(
            model, [inputs], ["0", "4"], settings=ReadingSettings(binarizer="median"), options=RunOptions(batch=BATCH)
        )
        values = reference.outputs(model.float(), inputs.float(), ["0"], BATCH)["0"] if kind == torch.float64 else None
        assert bits.examples == N
        if values is not None:
            assert (bits.to_bool("0") == (values.max((2, 3)) > bits.thresholds[:4])).mean() > 0.95


def test_one_output_at_a_time_is_alive():
    alive = []

    class Layer(nn.Linear):
        def forward(self, x):
            output = super().forward(x).relu()
            alive.append(weakref.ref(output))
            counts.append(sum(one() is not None for one in alive))
            return output

    class Net(nn.Sequential):
        def forward(self, x):
            return super().forward(x)[:, 0]

    counts: list[int] = []
    model = made(lambda: Net(*(Layer(4, 4) for _ in range(6))))
    for tokens in ("first", "mean", "every"):
        extract(
            model,
            [drawn(N, 5, 4)],
            [".+"],
            settings=ReadingSettings(tokens=tokens),
            options=RunOptions(batch=BATCH, executor="serial"),
        )
    assert max(counts) == 2


def test_a_network_that_is_not_the_graphs_is_refused():
    first = extract(
        made(Words),
        [sentences(N)],
        ["dense"],
        settings=ReadingSettings(tokens="every"),
        options=RunOptions(batch=BATCH),
    )
    other = made(Words)
    other.dense, other.pooled = nn.Linear(6, 9), nn.Linear(9, 4)
    with pytest.raises(
        ShapeError, match=r"other labels or units than the nodes.*got 9 units of 'dense'; use the graph"
    ):
        extract(other, [sentences(N)], like=first, options=RunOptions(batch=BATCH))
    assert not hooks(other)


class Grid(nn.Module):
    """A network whose images have their channels last, as a Swin transformer's."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.act, self.head = nn.Linear(5, 5), nn.ReLU(), nn.Linear(180, 3)

    def forward(self, x):
        return self.head(self.act(self.dense(x)).flatten(1))


@pytest.mark.parametrize("layer", ["dense", "act"])
def test_units_on_the_last_of_four_axes_are_not_taken_for_channels(layer):
    with pytest.raises(LayerError, match=rf"'{layer}' gives .*, whose units are the last axis"):
        extract(Grid(), [torch.randn(8, 6, 6, 5)], layers=[layer])


def test_a_dense_layer_after_a_convolution_of_one_axis_gives_tokens():
    net = nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.Linear(6, 6), nn.Flatten(), nn.Linear(24, 3))
    bits = extract(net, [torch.randn(8, 2, 6)], layers=["0", "1"])
    assert [(layer.units, layer.reading) for layer in bits.nodes.layers] == [(4, "max"), (6, "first")]


def test_a_shuffling_loader_is_refused_where_places_count(tmp_path):
    data = torch.utils.data.TensorDataset(torch.randn(20, 4), torch.zeros(20, dtype=torch.long))
    net, loader = nn.Sequential(nn.Linear(4, 3)), torch.utils.data.DataLoader(data, batch_size=5, shuffle=True)
    for how in ({"file": tmp_path / "bits"}, {"settings": ReadingSettings(max_examples=7)}):
        with pytest.raises(DataError, match="shuffles them; make it with shuffle=False"):
            extract(net, loader, layers=["0"], **how)
    assert not (tmp_path / "bits").exists()
    assert extract(net, loader, layers=["0"]).examples == 20


def test_thresholds_that_are_not_known_are_no_measure():
    net = nn.Sequential(nn.Linear(4, 3))
    plain = BitMatrix.from_bool(torch.rand(20, 6).numpy() > 0.5, NodeSpace(3, (LayerUnits("0", 3),)))
    with pytest.raises(ShapeError, match="its thresholds are NaN, because it was made of plain booleans"):
        extract(net, [torch.randn(20, 4)], like=plain)
