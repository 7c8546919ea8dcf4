"""One step: what is added to the loss, mixed precision, compilation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ndg import training
from ndg.config import Train
from ndg.errors import ConfigError
from ndg.models import checkpoint
from tests.training.small import digits, experiment, figures, sentences, shallow

ROOT = Path(__file__).parent.parent.parent
CPU = torch.device("cpu")


class Pulled(nn.Module):
    """Logits and what they came from; the extra loss pulls that to one."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(3, 4)
        self.out = nn.Linear(4, 2)

    def forward(self, inputs):
        hidden = self.hidden(inputs)
        return self.out(hidden), hidden

    def extra_loss(self, output, labels):
        return (output[1] - 1)[labels == 1].square().mean()


def test_an_extra_loss_is_added_to_the_cross_entropy_and_learnt_from():
    torch.manual_seed(3)
    network = Pulled()
    inputs, labels = torch.randn(6, 3), torch.tensor([0, 1, 1, 0, 1, 0])
    logits, hidden = network(inputs)
    expected = F.cross_entropy(logits, labels, label_smoothing=0.1) + (hidden - 1)[labels == 1].square().mean()
    gradients = torch.autograd.grad(expected, [*network.parameters()])
    before = [parameter.detach().clone() for parameter in network.parameters()]
    settings = Train(optimizer="sgd", momentum=0.0, weight_decay=0.0, clip=1e9, label_smoothing=0.1)
    loss, right = training.Learner.of(network, settings, CPU).step(inputs, labels, 0.01)
    assert loss.item() == pytest.approx(expected.item())
    assert right.item() == (logits.argmax(1) == labels).sum()
    for parameter, old, gradient in zip(network.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), old - 0.01 * gradient)


@pytest.mark.parametrize(
    ("name", "precision"),
    [("mlp", "bfloat16"), ("lstm", "bfloat16"), ("bert", "bfloat16"), ("mlp", "float16"), ("bert", "float16")],
)
def test_mixed_precision_stays_near_float32_and_keeps_float32_weights(name, precision, tmp_path):
    splits = digits() if name == "mlp" else sentences()
    exact = training.train(experiment(name), splits, tmp_path / "exact")
    mixed = training.train(experiment(name, precision=precision), splits, tmp_path / "mixed")
    losses, others = ([row["loss"] for row in result.history] for result in (exact, mixed))
    assert others != losses
    assert others == pytest.approx(losses, rel=0.05)
    tensors, _ = checkpoint.read(mixed.checkpoint)
    assert {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()} == {torch.float32}
    network, _ = training.load_model(tmp_path / "mixed")
    best = mixed.history[mixed.best_epoch - 1]
    judged = (best["validation_loss"], best["validation_accuracy"])
    assert training.evaluate(network, splits.validation) == judged, "evaluation is in float32 always"


def test_mixed_precision_goes_on_after_an_interrupt_to_the_last_bit(tmp_path):
    one, splits = experiment(precision="float16"), digits()

    def stop(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    whole = training.train(one, splits, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        training.train(one, splits, tmp_path / "parts", on_epoch=stop)
    resumed = training.train(one, splits, tmp_path / "parts", resume=True)
    assert figures(resumed.history) == figures(whole.history)
    assert checkpoint.read(tmp_path / "parts" / training.STATE)[1]["scaler"]["_growth_tracker"] == 4 * 7


def test_a_layer_without_float16_on_a_cpu_is_an_error_that_says_so(tmp_path):
    message = r"float16 on a CPU needs layers that support it.*; torch says: .*; set train\."
    with pytest.raises(ConfigError, match=message):
        training.train(experiment("lstm", precision="float16"), sentences(), tmp_path)


def compiled(folder: Path, **environment: str) -> str:
    """What a process prints that trains a compiled network: the types in annotations are not checked there, which
    torch.compile would trip over.

    One layer and no vector instructions: most of the time goes into compiling.
    """
    script = (
        "import sys; from pathlib import Path; from ndg import training\n"
        "from tests.training.small import digits, shallow\n"
        "from ndg.errors import ConfigError\n"
        "try: training.train(shallow(compile=True), digits(), Path(sys.argv[1]))\n"
        "except ConfigError as error: print(error)"
    )
    away = {"TORCHINDUCTOR_CACHE_DIR": str(folder.parent / "cache"), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    command, plain = [sys.executable, "-c", script, str(folder)], {"TORCHINDUCTOR_VEC_ISA_OK": "0"}
    environment = os.environ | away | plain | environment
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=ROOT).stdout


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on a CPU")
def test_a_compiled_network_learns_the_same_and_has_the_same_names(tmp_path):
    plain = training.train(shallow(), digits(), tmp_path / "plain")
    assert not compiled(tmp_path / "compiled")
    _, about = checkpoint.read(tmp_path / "compiled" / training.STATE)
    assert about["history"][-1]["loss"] == pytest.approx(plain.history[-1]["loss"], rel=0.05)
    network, _ = training.load_model(tmp_path / "compiled")
    assert set(network.state_dict()) == set(checkpoint.read(plain.checkpoint)[0])


def test_where_there_is_no_compiler_an_error_says_what_to_do(tmp_path):
    said = compiled(tmp_path / "run", CXX="/nonexistent/g++")
    assert "train.compile needs a network and a compiler that torch.compile supports; torch says: " in said
    assert "install g++ (on a GPU, triton), or set train.compile=false" in said
