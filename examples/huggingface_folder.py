"""A Hugging Face folder on texts of your own: `ndg align --hf FOLDER data.name=texts data.dir=FOLDER`.

It first writes such a folder: a small DistilBERT trained on generated sentences. Replace it by your own.

    python examples/huggingface_folder.py [--out FOLDER] [--quick]
"""

import argparse
import csv
import json
import random
import sys
from pathlib import Path

import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification
from transformers.utils import logging

from ndg.cli import main as ndg
from ndg.data import Texts, Tokenizer

LENGTH = 16
WORDS = {
    "good": ["lovely", "clever", "moving", "funny", "brilliant"],
    "bad": ["dull", "clumsy", "boring", "silly", "dreadful"],
}


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    """Sentences with their label."""
    chance = random.Random(seed)
    rows = []
    for _ in range(count):
        label = chance.choice(list(WORDS))
        subject = chance.choice(["film", "play", "plot", "book", "cast", "score"])
        rows.append(
            (f"the {subject} is {chance.choice(['rather', 'truly', 'so'])} {chance.choice(WORDS[label])}", label)
        )
    return rows


def write_data(folder: Path, count: int) -> list[tuple[str, str]]:
    """Write train.csv and test.csv, and return the training sentences."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"train": sentences(count, 1), "test": sentences(count // 2, 2)}
    for split, part in rows.items():
        with (folder / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *part])
    return rows["train"]


def write_network(folder: Path, rows: list[tuple[str, str]], steps: int) -> None:
    """Write a network and its tokenizer as `save_pretrained` does."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = Texts(tuple(text for text, _ in rows))
    tokenizer = Tokenizer.trained(texts.first, vocabulary=400)
    tokenizer.save(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]", "model_max_length": LENGTH}))

    torch.manual_seed(0)
    names = sorted(WORDS)
    config = DistilBertConfig(
        vocab_size=tokenizer.vocabulary, dim=32, hidden_dim=64, n_layers=1, n_heads=2, max_position_embeddings=LENGTH,
        num_labels=2, id2label=dict(enumerate(names)), label2id={name: place for place, name in enumerate(names)},
    )  # fmt: skip
    network = DistilBertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    batch = tokenizer.encode(texts, LENGTH).batch()
    labels = torch.tensor([names.index(label) for _, label in rows])
    for step in range(steps):
        chosen = torch.arange(64 * step, 64 * step + 64) % len(rows)
        optimizer.zero_grad()
        network(**{key: column[chosen] for key, column in batch.items()}, labels=labels[chosen]).loss.backward()
        optimizer.step()
    network.save_pretrained(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("huggingface_folder"), help="output folder")
    parser.add_argument("--quick", action="store_true", help="fewer sentences and steps")
    args = parser.parse_args()
    logging.disable_progress_bar()
    rows = write_data(args.out / "data", 400 if args.quick else 2000)
    write_network(args.out / "network", rows, steps=40 if args.quick else 150)
    return ndg(
        [
            *("align", "--hf", str(args.out / "network"), "--layers", "pre_classifier"),
            *("--runs", str(args.out / "runs"), "data.name=texts", f"data.dir={args.out / 'data'}"),
            *(f"data.length={LENGTH}", "criterion.alpha=5"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
