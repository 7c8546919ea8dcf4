"""Your own network for align.py, which mines, tests, scores, draws and logs it:

    python align.py --model examples/own_model_for_align.py:make --layers encoder.act criterion.alpha=5

`make` takes no arguments. It returns the network and its loaders by split: `train`, and `test` or `validation` or both.
A loader yields (inputs, labels) or dictionaries with `labels`, always in the same order. This file also runs as a
script and does the same:

    python examples/own_model_for_align.py [KEY=VALUE ...]
"""

import sys
from collections import OrderedDict

import torch
from sklearn.datasets import load_wine
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def make() -> tuple[nn.Module, dict[str, DataLoader]]:
    """A small network for three wines, and its data. A real one would load its weights."""
    wine = load_wine()
    values = torch.tensor(wine.data, dtype=torch.float32)
    labels = torch.tensor(wine.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    parts = {"train": order[:118], "test": order[118:]}
    training = values[parts["train"]]  # scales are fitted to training examples only
    values = (values - training.mean(dim=0)) / training.std(dim=0)
    data = {split: TensorDataset(values[rows], labels[rows]) for split, rows in parts.items()}

    torch.manual_seed(0)
    encoder = nn.Sequential(OrderedDict(dense=nn.Linear(13, 24), act=nn.ReLU()))
    network = nn.Sequential(OrderedDict(encoder=encoder, out=nn.Linear(24, 3)))
    network.class_names = [str(name) for name in wine.target_names]  # optional; shown in pictures
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(data["train"].tensors[0]), data["train"].tensors[1]).backward()
        optimizer.step()
    return network, {split: DataLoader(examples, batch_size=64) for split, examples in data.items()}


if __name__ == "__main__":
    from ndg.cli import main

    layers = ["--layers", "encoder.act"]
    sys.exit(main(["align", "--model", f"{__file__}:make", *layers, "criterion.alpha=5", *sys.argv[1:]]))
