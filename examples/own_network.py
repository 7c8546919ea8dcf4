"""Your own network and data: graph, trial, scores and picture.

python examples/own_network.py [--out FOLDER] [--quick]
"""

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ndg


def examples(count: int, seed: int) -> TensorDataset:
    """Points of eight numbers; the class is the index of the largest of the first three."""
    points = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(points, points[:, :3].argmax(dim=1))


def trained(data: TensorDataset, epochs: int) -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(epochs):
        for inputs, labels in DataLoader(data, batch_size=100, shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs), labels).backward()
            optimizer.step()
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("own_network"), help="folder for graph and picture")
    parser.add_argument("--quick", action="store_true", help="less data and training")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    data = examples(1000 if args.quick else 4000, seed=1)
    network = trained(data, epochs=5 if args.quick else 20)
    train, test = DataLoader(data, batch_size=256), DataLoader(examples(1000, seed=2), batch_size=256)

    bits = ndg.extract(network, train, layers=["3"])  # module paths from network.named_modules()
    held_out = ndg.extract(network, test, like=bits)  # the same thresholds
    graph = ndg.mine(bits, alpha=5)
    print(graph)
    print(graph.rules(limit=5))

    judged = graph.held_out(held_out)
    print(f"accuracy {held_out.correct / held_out.examples:.3f}, precision on test examples {judged.precision:.3f}")
    for intervention, result in ndg.trials(network, graph, test, fit=train).items():
        figures = result.to_dict()
        prototype = figures["controls"][result.prototype][
            "aligned"
        ]  # the strongest of those of the same size or changes
        print(f"{intervention}: aligned {figures['aligned']:.3f}, class prototype {prototype:.3f}")

    graph = graph.with_scores(ndg.score(network, test, ["3"]))
    print("graph:", graph.save(args.out / "ndg.json"))
    print("picture:", ndg.render(graph, args.out / "ndg.pdf", class_names=["first", "second", "third"]))


if __name__ == "__main__":
    main()
