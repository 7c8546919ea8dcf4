"""Configs, overrides, filters and arguments, as kinds to make odd."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from pathlib import Path
from random import Random

import yaml

from ndg import cli, config
from ndg.errors import FailureError, UserError
from tests.fuzzing import mutations
from tests.fuzzing.files import make_record
from tests.fuzzing.harness import Kind

# configs, filters, arguments

CONFIG = """
name: digits
seed: 3
data: {name: digits, validation: 0.2, columns: [text, label]}
model: {name: mlp, widths: [24, 12], latent: 8, dropout: 0.1}
train: {epochs: 2, learning_rate: 1e-3, optimizer: sgd, keep_checkpoints: "every:2", fitness: {weights: 0.5}}
extract: {layers: ["0.10"], quantile: 0.25, threads: 2}
criterion: {name: paper, alpha: [5, 20]}
mining: {pairs: between, max_examples: 1000}
trial: {interventions: [Q], values: auto, beta: 0.5}
importance: {methods: [gndi, "magnitude:side=outgoing"], scoreboard: [snip]}
report: {timeout: 20}
smoke: {train: {epochs: 1}}
"""


def make_config(folder: Path) -> Path:
    (folder / "own.yaml").write_text(CONFIG)
    return folder / "own.yaml"


def read_config(path: Path) -> bool:
    """Whether the saved config is read as the same experiment."""
    experiment = config.load(path, smoke=len(path.read_bytes()) % 4 == 0)
    return config.load(yaml.safe_load(experiment.to_yaml())) == experiment and len(experiment.digest) == 16


OVERRIDES = ["seed=4", "train.epochs=3", "model.widths=[4,5]", "name=no", "extract.layers=[0.10]", "report.timeout=9"]


def make_overrides(folder: Path) -> Path:
    (folder / "words.json").write_text(json.dumps(OVERRIDES))
    return folder / "words.json"


def odd_overrides(content: bytes, rng: Random) -> bytes:
    """Override keys with odd values, and damaged overrides."""
    words = json.loads(content)
    word = rng.choice(words)
    key, _, value = word.partition("=")
    odd = rng.choice(mutations.ODD)
    texts = [
        f"{odd}",
        json.dumps(odd),
        "[" * 3000,
        "{a: &x [*x]}",
        "&a [*a, *a]",
        "!!python/object:os.system x",
        "1:30",
        ".inf",
    ]
    texts += [
        value[::-1],
        "- 1",
        "'",
        "{",
        "%",
        "*x",
        "<<: 1",
        "\t",
        "\ud800",
        "0x1f",
        "1_000",
        "0o17",
        "2026-01-01",
        "1e400",
    ]
    keys = [
        key,
        key,
        key,
        f"{key}.x",
        f"x.{key}",
        key[:-1],
        f"{key}[0]",
        "smoke.seed",
        "store.uri",
        "paper.accuracy",
        "",
    ]
    return json.dumps([f"{rng.choice(keys)}={rng.choice(texts)}"]).encode()


def read_overrides(path: Path) -> bool:
    experiment = config.load({}, json.loads(path.read_bytes()))
    return config.load(yaml.safe_load(experiment.to_yaml())) == experiment and len(experiment.digest) == 16


SIGNS = [
    "???",
    "${seed}",
    "${oc.env:HOME}",
    "|",
    ">",
    " #",
    "&a",
    "*a",
    "!x",
    "!!int ",
    "<<",
    ": ",
    "- ",
    "? ",
    "%",
    "@",
]
SIGNS += [
    "no",
    "1:30",
    "0x1f",
    "1e3",
    "010",
    ".inf",
    "~",
    "null",
    "2026-01-01",
    "a",
    "é",
    "'",
    '"',
    "{",
    "[",
    "]",
    ",",
    "=",
]


def make_text(folder: Path) -> Path:
    (folder / "text.json").write_text(json.dumps("a"))
    return folder / "text.json"


def odd_text(content: bytes, rng: Random) -> bytes:
    return json.dumps("".join(rng.choice(SIGNS) for _ in range(rng.randint(1, 3)))).encode()


def read_text(path: Path) -> bool:
    """Whether the name of an experiment is the text that was typed, which quotes may surround."""
    text = json.loads(path.read_bytes()).strip()
    experiment = config.load({}, [f"name={text}", f"extract.layers=['{text}']" if "'" not in text else "seed=1"])
    typed = experiment.name == text or (text[:1] in "'\"" and experiment.name in text)
    return (
        typed
        and set(experiment.extract.layers) <= {text}
        and config.load(yaml.safe_load(experiment.to_yaml())) == experiment
    )


FILTER = {
    "$or": [{"kind": "train"}, {"results.train.validation_accuracy": {"$gt": 0.5, "$lte": 1}}],
    "name": {"$regex": "^dig", "$options": "i"},
    "tags": {"$nin": ["paper", None]},
    "$nor": [{"status": {"$ne": "COMPLETED"}}],
}


def make_filter(folder: Path) -> Path:
    make_record(folder)
    (folder / "filter.json").write_text(json.dumps(FILTER))
    return folder / "filter.json"


def odd_filter(content: bytes, rng: Random) -> bytes:
    if rng.random() < 0.1:
        return rng.choice((b"[]", b"0", b"null", b'""', b'{"kind": "train", "kind": "align"}', b'{"name": "\\ud800"}'))
    if rng.random() < 0.2:
        depth, open_, close = rng.choice(
            ((900, '{"$or":[', "]}"), (90, '{"$and":[', "]}"), (5000, "[", "]"), (900, '{"a":', "}"))
        )
        return (open_ * depth + "{}" + close * depth).encode()
    return (
        mutations.of_document(json.loads(content), rng).encode()
        if rng.random() < 0.7
        else mutations.of_bytes(content, rng)
    )


def read_filter(path: Path) -> bool:
    where = path.read_bytes().decode("utf-8", "surrogateescape")
    return _command(["runs", "--store", str(path.parent / "ndg.db"), "--where", where])


ARGUMENTS = [
    ["runs", "--limit", "3"],
    ["show", "last"],
    ["render", "last", "--target", "3", "--top", "4"],
    ["train", "digits_mlp", "train.epochs=1", "--seed", "1", "--print-config"],
    ["align", "digits_mlp", "--seeds", "0", "1", "--print-config"],
    ["explain", "last", "--example", "7"],
    ["diff", "last", "last", "--bootstraps", "2"],
    ["data", "list", "iris"],
    ["score", "last", "--max-examples", "9", "--print-config"],
    ["configs"],
]


def make_arguments(folder: Path) -> Path:
    make_record(folder)
    (folder / "arguments.json").write_text(json.dumps(ARGUMENTS))
    return folder / "arguments.json"


def odd_arguments(content: bytes, rng: Random) -> bytes:
    """One command line with one or two odd words."""
    words = list(rng.choice(json.loads(content)))
    for _ in range(rng.choice((1, 1, 2))):
        odd = f"{rng.choice(mutations.ODD)}"
        word = rng.choice(
            [odd, odd, "~nobody/x", "/dev/null", "/", "mongodb://[", "http://x", "1" * 5000, "\udcff", "a" * 300 + "/b"]
        )
        at = rng.randrange(len(words) + 1)
        match rng.randrange(4):
            case 0:
                words[at : at + 1] = [word]
            case 1:
                words.insert(at, word)
            case 2:
                del words[at : at + 1]
            case _:
                words += [
                    rng.choice(["--data", "--runs", "--store", "--seeds", "--device", "--split", "--target"]),
                    word,
                ]
    return json.dumps(words).encode()


def read_arguments(path: Path) -> bool:
    words = json.loads(path.read_bytes())
    if not isinstance(words, list) or words == ARGUMENTS:
        words = ["configs"]
    return _command([*words, "--runs", str(path.parent)])


def _command(words: list[str]) -> bool:
    """Whether a command ends well or by a message and an exit code."""
    words = [word.replace("\0", "") for word in words]  # the operating system passes none
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(words)
        except SystemExit as error:  # from argparse
            code = int(error.code or 0)
    if code == 2:
        raise UserError(err.getvalue())
    if code:
        raise FailureError(err.getvalue())
    return "Traceback" not in err.getvalue() or shlex.join(words) == ""


WORDS: dict[str, Kind] = {
    "config": Kind(make_config, mutations.of_bytes, read_config),
    "config document": Kind(make_config, mutations.of_yaml, read_config),
    "text": Kind(make_text, odd_text, read_text),
    "overrides": Kind(make_overrides, odd_overrides, read_overrides),
    "filter": Kind(make_filter, odd_filter, read_filter),
    "arguments": Kind(make_arguments, odd_arguments, read_arguments),
}
