"""What is before the layer runs once, and every pass gives what it gives without that, to the bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ndg.activations.batches import fixed, forward
from ndg.activations.hooks import Overwrite
from ndg.interventions.replay import Replay


class Counted(nn.Module):
    """A dense layer that counts its passes."""

    def __init__(self, inputs: int = 4, outputs: int = 4) -> None:
        super().__init__()
        self.dense, self.passes = nn.Linear(inputs, outputs), 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return self.dense(x)


class Net(nn.Module):
    """Encoder, latent, decoder; subclasses make it difficult."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.latent, self.decoder = Counted(), nn.Sigmoid(), Counted(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.latent(self.encoder(x)))


class Skip(Net):
    """The encoder's output goes around the latents, and is changed in place after them."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.encoder(x)
        z = self.latent(h)
        h += z
        h *= 3
        return self.decoder(h)


class InPlace(Net):
    """The encoder's output is changed in place before the latents."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.encoder(x)
        h *= 2
        return self.decoder(self.latent(h))


class Twice(Net):
    """The encoder is used twice before the latents and once after them."""

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(self.latent(self.encoder(torch.tanh(self.encoder(x))))))


class Tied(Net):
    """`shared` is a part of the encoder, used by it alone before the latents, and used by itself after them."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = Counted()
        self.encoder = nn.Sequential(self.shared, nn.Tanh(), Counted())

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.shared(self.latent(self.encoder(x))))


class Hidden(Net):
    """The same, but the encoder does not own `shared`."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = Counted()
        held = [self.shared]
        self.encoder.forward = lambda x: torch.tanh(held[0](x))  # type: ignore[method-assign]

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.shared(self.latent(self.encoder(x))))


class Caller(nn.Module):
    """Calls a module that it does not own."""

    def __init__(self, other: nn.Module) -> None:
        super().__init__()
        self.held = [other]

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.held[0](x))


class Borrowed(Hidden):
    """The same, with an encoder that may be stood in for."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Caller(self.shared)


class Structured(Net):
    """The encoder returns a dictionary with a tuple in it."""

    class Encoder(Counted):
        def forward(self, x: Tensor) -> dict:
            return {"h": (super().forward(x), None), "n": 1}

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Structured.Encoder()

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.latent(self.encoder(x)["h"][0]))


class Strange(Structured):
    """The encoder returns an object that is not known here."""

    class Encoder(Counted):
        def forward(self, x: Tensor) -> dict:
            return {"h": (super().forward(x), object())}

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Strange.Encoder()


class Nested(nn.Module):
    """The latents are deep inside, with modules before and after them on every level."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.body, self.after = Counted(), Skip(), Counted(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.body(self.before(x)))


class Hooked(Net):
    """The encoder has a hook of its own, which must not act twice on one output."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder.register_forward_hook(lambda module, arguments, output: output * 2)


NETS = [Net, Skip, InPlace, Twice, Tied, Hidden, Borrowed, Structured, Strange, Hooked, Nested]


@pytest.mark.parametrize("kind", NETS)
def test_replayed_passes_are_those_of_the_whole_network_to_the_bit(kind):
    torch.manual_seed(0)
    model = kind()
    layer = "body.latent" if kind is Nested else "latent"
    inputs = torch.randn(6, 4)
    replay = Replay(model, [layer])
    with fixed(model):
        expected = forward(model, inputs)
        with replay.recording():
            assert torch.equal(forward(model, inputs), expected)
        for _ in range(3):
            mask, values = torch.rand(6, 4) < 0.5, torch.randn(6, 4)

            def change(output: Tensor, mask: Tensor = mask, values: Tensor = values) -> Tensor:
                return torch.where(mask, values, output)

            with Overwrite(model, layer, change):
                with replay.replaying():
                    found = forward(model, inputs)
                assert torch.equal(found, forward(model, inputs))
        assert torch.equal(forward(model, inputs), expected)
    assert not any(module._forward_hooks for module in model.modules() if module is not getattr(model, "encoder", None))
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("kind", [Net, Skip, InPlace, Structured])
def test_the_encoder_runs_once(kind):
    model = kind()
    inputs = torch.randn(6, 4)
    replay = Replay(model, ["latent"])
    with fixed(model):
        with replay.recording():
            forward(model, inputs)
        for _ in range(3):
            with replay.replaying():
                forward(model, inputs)
    assert (model.encoder.passes, model.decoder.passes) == (1, 4)


def test_only_calls_before_the_layer_are_stood_in_for():
    model = Twice()
    inputs = torch.randn(6, 4)
    replay = Replay(model, ["latent"])
    with fixed(model):
        with replay.recording():
            forward(model, inputs)
        with replay.replaying():
            forward(model, inputs)
    assert model.encoder.passes == 3 + 1


def test_modules_are_restored_after_an_error():
    model = Net()
    replay = Replay(model, ["latent"])
    with fixed(model):
        with replay.recording():
            forward(model, torch.zeros(2, 4))
        with pytest.raises(KeyError), replay.replaying():
            raise KeyError
        assert "forward" not in vars(model.encoder)
        forward(model, torch.zeros(2, 4))
    assert model.encoder.passes == 2


def test_a_pass_that_does_not_reach_the_layer_leaves_nothing_to_replay():
    model = Net()
    replay = Replay(model, ["latent"])
    with fixed(model):
        with replay.recording():
            model.encoder(torch.zeros(2, 4))
        with replay.replaying():
            forward(model, torch.zeros(2, 4))
    assert model.encoder.passes == 2


def test_a_transformer_of_hugging_face_runs_once():
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    model = ViTForImageClassification(
        ViTConfig(
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            image_size=4,
            patch_size=2,
            num_channels=1,
            num_labels=3,
        )
    )
    model.classifier = nn.Sequential(nn.Linear(8, 5), nn.Sigmoid(), nn.Linear(5, 3))
    inputs = torch.randn(3, 1, 4, 4)
    replay = Replay(model, ["classifier.1"])
    with fixed(model):
        with replay.recording():
            expected = forward(model, inputs)
        with replay.replaying():
            assert torch.equal(forward(model, inputs), expected)
    assert list(replay.recorded) == ["vit", "classifier.0"]


def _sequence(*modules: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*modules, nn.Sigmoid(), Counted(4, 3))


SHARED = nn.Tanh()
SEQUENCES = {
    "all but the last": (lambda: [nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)], {"0": None, "1": None, "2": Tensor}),
    "read by a module in place": (
        lambda: [nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 4)],
        {"0": Tensor, "2": Tensor},
    ),
    "read by a module in two places": (
        lambda: [nn.Linear(4, 4), SHARED, nn.Linear(4, 4), SHARED, nn.Linear(4, 4)],
        {"0": Tensor, "1": Tensor, "2": Tensor, "4": Tensor},
    ),
    "read by a module of one's own": (lambda: [nn.Linear(4, 4), Counted()], {"0": Tensor, "1": Tensor}),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_outputs_that_only_the_next_replayed_module_reads_are_not_kept(name):
    modules, expected = SEQUENCES[name]
    model = _sequence(*modules())
    layer = str(len(model) - 2)
    inputs = torch.randn(6, 4)
    replay = Replay(model, [layer])
    with fixed(model):
        with replay.recording():
            whole = forward(model, inputs.clone())
        kept = {path: Tensor if isinstance(calls[0], Tensor) else None for path, calls in replay.recorded.items()}
        assert kept == expected
        for rows in (None, torch.tensor([5, 0, 3])):
            picked = inputs if rows is None else inputs[rows]
            with replay.replaying(rows, len(inputs)):
                assert torch.equal(forward(model, picked.clone()), whole if rows is None else whole[rows])


def test_an_output_is_kept_where_a_hook_reads_it():
    model = _sequence(nn.Linear(4, 4), nn.ReLU())
    seen: list[Tensor] = []
    model[1].register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    inputs = torch.randn(6, 4)
    replay = Replay(model, ["2"])
    with fixed(model):
        with replay.recording():
            whole = forward(model, inputs)
        with replay.replaying():
            assert torch.equal(forward(model, inputs), whole)
    assert torch.equal(*seen)
