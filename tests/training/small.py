"""Small data and networks for tests of training."""

from __future__ import annotations

from dataclasses import replace

import torch

from ndg import data
from ndg.config import LSTM, MLP, Bert, Data, Experiment, Train
from ndg.data.examples import Examples, Splits
from ndg.data.inputs import Tokens

TINY = Train(epochs=4, batch_size=48, learning_rate=3e-3)
NETWORKS = {
    "mlp": MLP(widths=[24], latent=8, dropout=0.2, latent_noise=0.5),
    "lstm": LSTM(embedding=6, width=6, latent=5, dropout=0.2, latent_noise=0.1),
    "bert": Bert(width=8, depth=1, heads=2, mlp=16, latent=4),
}


def digits() -> Splits:
    """A few hundred digits."""
    whole = data.load(Data())
    return replace(whole, train=whole.train[:300], validation=whole.validation[:90], test=whole.test[:90])


def sentences() -> Splits:
    """Rows of 3 to 9 tokens out of 20; the class is whether more of them are from 12 up than are below."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(4, 20, (200, 9), generator=draw, dtype=torch.int32)
    lengths = torch.randint(3, 10, (200,), generator=draw, dtype=torch.int32)
    inside = torch.arange(9) < lengths[:, None]
    labels = (torch.where(inside, ids - 11.5, 0.0).sum(1) > 0).long()
    whole = Examples(Tokens(ids * inside, lengths, None, 20, 0), labels, torch.arange(200))
    return Splits(whole[:120], whole[120:160], whole[160:], ("low", "high"), "200 rows of tokens")


def experiment(name: str = "mlp", **changes: object) -> Experiment:
    return Experiment(model=NETWORKS[name], train=replace(TINY, **changes))


def shallow(**changes: object) -> Experiment:
    """Two epochs of a network without hidden layers."""
    model = MLP(widths=[], latent=8, dropout=0.2, latent_noise=0.5)
    return replace(experiment(epochs=2, batch_size=100, **changes), model=model)


def figures(history):
    """Rows without the time that they took."""
    return [
        {key: value for key, value in row.items() if key not in ("seconds", "examples_per_second")} for row in history
    ]


class Interrupt:
    """Ctrl-C after an epoch is on disk."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, row):
        if row["epoch"] == self.epoch:
            raise KeyboardInterrupt
