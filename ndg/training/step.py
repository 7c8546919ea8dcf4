"""One training step (forward, loss, backward, clipping, update), and evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ndg.activations.batches import COMPUTE_BATCH, compute_batches, fixed, forward, logits_of, output_of
from ndg.config import Train
from ndg.data.examples import Examples
from ndg.data.inputs import Columns
from ndg.errors import ConfigError
from ndg.training.schedules import optimizer_of, set_rate


@dataclass(frozen=True, eq=False)
class Learner:
    """A network, `called` directly or compiled, and its optimiser."""

    network: nn.Module
    called: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    settings: Train

    @classmethod
    def of(cls, network: nn.Module, settings: Train, device: torch.device) -> Learner:
        """Learner with a new optimiser; only float16 scales gradients."""
        return cls(
            network=network,
            called=cast(nn.Module, torch.compile(network)) if settings.compile else network,
            optimizer=optimizer_of(network, settings),
            scaler=torch.amp.GradScaler(device.type, enabled=settings.precision == "float16"),
            settings=settings,
        )

    def step(
        self, inputs: Columns, labels: Int64[Tensor, " example"], rate: float
    ) -> tuple[Float[Tensor, ""], Int64[Tensor, ""]]:
        """Mean loss (nats) and correct predictions of a batch, on the device."""
        settings, device = self.settings, next(self.network.parameters()).device
        labels = labels.to(device)
        dtype, extra_loss = getattr(torch, settings.precision), getattr(self.network, "extra_loss", None)
        set_rate(self.optimizer, rate)
        with _clear_errors(settings, device):
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                output = output_of(self.called, inputs)
                extra = extra_loss(output, labels) if extra_loss is not None else None
            logits = logits_of(output).float()
            loss = F.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
            if extra is not None:
                loss = loss + extra
            self.optimizer.zero_grad()
            self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()


def evaluate(network: nn.Module, examples: Examples, batch: int = COMPUTE_BATCH) -> tuple[float, float]:
    """Mean cross entropy (nats) and accuracy in evaluation mode, always in float32."""
    loss, correct = 0.0, 0
    with fixed(network, torch.get_num_threads()):
        for part in compute_batches(examples.loader(batch), batch):
            assert part.labels is not None
            logits = forward(network, part.inputs)[: part.count].cpu()
            loss += F.cross_entropy(logits, part.labels, reduction="sum").item()
            correct += int((logits.argmax(1) == part.labels).sum())
    return loss / len(examples), correct / len(examples)


@contextmanager
def _clear_errors(settings: Train, device: torch.device) -> Iterator[None]:
    """Turn errors of torch.compile and of float16 on a CPU into ConfigError."""
    failures: tuple[type[Exception], ...] = ()
    rule = "train.precision=float16 on a CPU needs layers that support it there (recurrent layers do not)"
    remedy = "set train.precision=bfloat16 or float32, or train on a GPU"
    if settings.compile:
        from torch._dynamo.exc import TorchDynamoException

        failures = (TorchDynamoException,)
        rule = "train.compile needs a network and a compiler that torch.compile supports"
        remedy = "install g++ (on a GPU, triton), or set train.compile=false"
    elif settings.precision == "float16" and device.type == "cpu":
        failures = (RuntimeError,)
    try:
        yield
    except failures as error:
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConfigError(f"{rule}; torch says: {line}; {remedy}") from error
