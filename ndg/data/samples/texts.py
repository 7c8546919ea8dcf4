"""Generated text files in the publishers' formats, with a signal to learn."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ndg import atomic, seeds

SIZES = {"train": 400, "dev": 80, "test": 80}
RELATIONS = ("entailment", "neutral", "contradiction")

PRAISE = ("moving", "funny", "brilliant", "charming", "gripping", "tender", "clever", "delightful")
BLAME = ("dull", "clumsy", "tedious", "shallow", "lifeless", "stale", "awkward", "pointless")
WORKS = ("film", "story", "script", "comedy", "portrait", "thriller", "debut", "sequel")
EXTENTS = ("a quietly", "a truly", "an often", "a rather", "a wholly", "an oddly")

PEOPLE = ("man", "woman", "boy", "girl", "child", "dancer", "farmer", "nurse")
DEEDS = (("running", "moving"), ("eating", "awake"), ("singing", "making a sound"), ("digging", "working"))
OTHERS = ("sleeping", "lying in bed", "resting", "taking a nap")
PLACES = ("in a park", "on a beach", "near a river", "in a garden", "on a hill", "by a road")
REASONS = ("for a friend", "for a prize", "after a long week", "to please a teacher", "because it is a holiday")

NOUNS = ("baker", "doctor", "judge", "king", "pilot", "poet")
QUALITIES = ("old", "tall", "happy", "wise", "emptystring")
MANNERS = ("slowly", "gladly", "emptystring")
VERBS = ("sells", "paints", "hides", "mends")
THINGS = ("boat", "chair", "coat", "lamp", "stone")

TOPICS = {
    "cooking": ("stir the soup", "bake the bread", "peel the onions", "salt the water"),
    "sailing": ("raise the anchor", "trim the sails", "steer to port", "mind the tide"),
    "weather": ("rain is coming", "the wind turns north", "fog lies in the valley", "frost is expected"),
}


def write_sst2(folder: Path, seed: int) -> None:
    """`train.tsv`, `dev.tsv` and `test.tsv`: a sentence, a tab, 1 or 0."""
    for part, rng in _parts("sst2", seed):
        lines = []
        for row in range(SIZES[part]):
            words = PRAISE if row % 2 else BLAME
            text = f"{_any(rng, EXTENTS)} {_any(rng, words)} and {_any(rng, words)} {_any(rng, WORKS)}"
            lines.append(f"{text}\t{row % 2}")
        _write(folder / f"{part}.tsv", lines)


def write_snli(folder: Path, seed: int) -> None:
    """`snli_1.0_train.jsonl`, `_dev` and `_test`; each twentieth row has no majority."""
    for part, rng in _parts("snli", seed):
        lines = []
        for row, (first, second, label) in enumerate(_pairs(rng, SIZES[part])):
            gold_label = "-" if row % 20 == 19 else label
            document = {
                "annotator_labels": [label, "neutral", "entailment", "contradiction"] if gold_label == "-" else [label],
                "captionID": f"{part}{row}.jpg#0",
                "gold_label": gold_label,
                "pairID": f"{part}{row}.jpg#0r1{label[0]}",
                "sentence1": first,
                "sentence1_binary_parse": f"( {first} )",
                "sentence1_parse": f"(ROOT {first})",
                "sentence2": second,
                "sentence2_binary_parse": f"( {second} )",
                "sentence2_parse": f"(ROOT {second})",
            }
            lines.append(json.dumps(document))
        _write(folder / f"snli_1.0_{part}.jsonl", lines)


def write_allnli(folder: Path, seed: int) -> None:
    """`AllNLI.tsv.gz`: one file of all splits, with a header."""
    lines = ["split\tdataset\tfilename\tsentence1\tsentence2\tlabel"]
    for part, rng in _parts("allnli", seed):
        for row, (first, second, label) in enumerate(_pairs(rng, SIZES[part])):
            corpus = ("SNLI", "MultiNLI")[row % 2]
            lines.append("\t".join((part, corpus, f"{corpus.lower()}_{part}", first, second, label)))
    atomic.write(folder / "AllNLI.tsv.gz", gzip.compress(_joined(lines).encode(), mtime=0))


def write_mqnli(folder: Path, seed: int) -> None:
    """`train.jsonl`, `dev.jsonl` and `test.jsonl`: sentences of nine words with quantifiers."""
    for part, rng in _parts("mqnli", seed):
        lines = []
        for row in range(SIZES[part]):
            label = RELATIONS[row % 3]
            subject, other = rng.permutation(NOUNS)[:2]
            verb, thing = _any(rng, VERBS), _any(rng, THINGS)
            first = {"entailment": "every", "neutral": "some", "contradiction": "some"}[label]
            second = {"entailment": "some", "neutral": "every", "contradiction": "no"}[label]
            premise = (first, _any(rng, QUALITIES), subject, "emptystring", _any(rng, MANNERS), verb)
            quality = premise[1] if label == "entailment" else "emptystring"
            hypothesis = (second, quality, other if label == "neutral" else subject, "emptystring", "emptystring", verb)
            document = {
                "sentence1": " ".join((*premise, "some", _any(rng, QUALITIES), thing)),
                "sentence2": " ".join((*hypothesis, "some", "emptystring", thing)),
                "gold_label": label,
            }
            lines.append(json.dumps(document))
        _write(folder / f"{part}.jsonl", lines)


def write_sick(folder: Path, seed: int) -> None:
    """`SICK_train.txt`, `SICK_trial.txt` and `SICK_test_annotated.txt`, with a relatedness score."""
    names = {"train": "SICK_train.txt", "dev": "SICK_trial.txt", "test": "SICK_test_annotated.txt"}
    number = 0
    for part, rng in _parts("sick", seed):
        lines = ["pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment"]
        for first, second, label in _pairs(rng, SIZES[part]):
            number += 1
            lines.append(f"{number}\t{first}\t{second}\t{rng.uniform(1, 5):.1f}\t{label.upper()}")
        _write(folder / names[part], lines)


def write_devign(folder: Path, seed: int) -> None:
    """`train.jsonl`, `valid.jsonl` and `test.jsonl`: C functions with or without a length check."""
    number = 0
    for part, rng in _parts("devign", seed):
        lines = []
        for row in range(SIZES[part]):
            name, size = f"{_any(rng, VERBS)}_{_any(rng, THINGS)}", 16 << int(rng.integers(4))
            check = f"    if (len > sizeof(buf))\n        return -{int(rng.integers(1, 30))};\n"
            document = {
                "project": ("FFmpeg", "qemu")[int(rng.integers(2))],
                "commit_id": rng.bytes(20).hex(),
                "target": row % 2,
                "func": f"static int {name}(const uint8_t *src, int len)\n{{\n    uint8_t buf[{size}];\n"
                f"{'' if row % 2 else check}    memcpy(buf, src, len);\n    return {_any(rng, THINGS)}(buf);\n}}\n",
                "idx": number,
            }
            number += 1
            lines.append(json.dumps(document))
        _write(folder / f"{'valid' if part == 'dev' else part}.jsonl", lines)


def write_texts(folder: Path, seed: int) -> None:
    """`texts.csv` with columns `text` and `label`: sentences of three topics."""
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(("text", "label"))
    rng = seeds.generator(seed, "sample", "texts")
    for row in range(SIZES["train"]):
        label = tuple(TOPICS)[row % len(TOPICS)]
        words = TOPICS[label]
        table.writerow((f'{_any(rng, words)}, said the {_any(rng, NOUNS)}, "{_any(rng, words)}"', label))
    atomic.write(folder / "texts.csv", stream.getvalue())


def _pairs(rng: np.random.Generator, count: int) -> Iterator[tuple[str, str, str]]:
    """Captions, each with a more general, more detailed, or contradictory sentence."""
    for row in range(count):
        person, (deed, general), location = _any(rng, PEOPLE), DEEDS[int(rng.integers(len(DEEDS)))], _any(rng, PLACES)
        second = (
            f"A {person} is {general} outdoors.",
            f"A {person} is {deed} {_any(rng, REASONS)}.",
            f"A {person} is {_any(rng, OTHERS)} indoors.",
        )[row % 3]
        yield f"A {person} is {deed} {location}.", second, RELATIONS[row % 3]


def _parts(name: str, seed: int) -> Iterator[tuple[str, np.random.Generator]]:
    """Each split with its own generator."""
    for part in SIZES:
        yield part, seeds.generator(seed, "sample", name, part)


def _any(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def _joined(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def _write(path: Path, lines: list[str]) -> None:
    atomic.write(path, _joined(lines))
