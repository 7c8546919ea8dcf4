"""Everything that is read from files, configs and arguments, as kinds to damage."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shlex
import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import yaml

from ndg import cli, config, data, models, runs
from ndg.bits import file_format
from ndg.bits.file import BitFile
from ndg.bits.matrix import BitMatrix, Sample
from ndg.config import Data, Experiment
from ndg.counterfactual.counterfactual_set import CounterfactualSet, Origin
from ndg.data.inputs import Form
from ndg.errors import FailureError, UserError
from ndg.executors import journal as journals
from ndg.executors.journal import Journal, opened
from ndg.graph.ndg import NDG
from ndg.graph.verdicts import Verdicts
from ndg.mining.miner import find
from ndg.models import checkpoint, pretrained
from ndg.nodes import LayerUnits, NodeSpace
from ndg.runs import record as records
from ndg.runs import show
from ndg.training import checkpoints
from ndg.training.journal import Journal as TrainingLog
from ndg.training.step import Learner
from tests.data import fixtures
from tests.fuzzing import mutations
from tests.fuzzing.harness import Kind

NODES = NodeSpace(2, (LayerUnits("a", 5, "max"), LayerUnits("b", 3)))
FORM = Form.of((1, 2, 2))
NETWORK = config.MLP(widths=[3], latent=2)
EPOCH = {"epoch": 1, "loss": 0.5, "validation_loss": 0.25, "validation_accuracy": 0.75, "seconds": 1.5}


def anything(value: Any, sound: Any) -> bool:
    """For formats without checksums, whose damage may be other data."""
    return True


def _document(content: bytes, rng: Random) -> bytes:
    return mutations.of_document(json.loads(content), rng).encode()


def _yaml(content: bytes, rng: Random) -> bytes:
    """A config with odd values; every JSON text is YAML but for its names of infinities."""
    text = mutations.of_document(yaml.safe_load(content), rng)
    return text.replace("-Infinity", "-.inf").replace("Infinity", ".inf").replace("NaN", ".nan").encode()


# packed bits


def _bits() -> BitMatrix:
    values = np.random.default_rng(0).random((150, len(NODES))) < 0.5
    return BitMatrix.from_bool(values, NODES, np.arange(8.0), correct=9, sample=Sample(1, 300), network="0" * 16)


def make_bits(folder: Path) -> Path:
    return _bits().save(folder / "bits.ndg", "net")


def read_bits(path: Path) -> Any:
    bits = BitMatrix.open(path)
    facts = bits.nodes.to_dict(), bits.examples, bits.correct, bits.sample, bits.network, bits.binarizer
    return facts, bits.thresholds.tobytes(), bits.words.tobytes()


def forge_header(content: bytes, rng: Random) -> bytes:
    """The header of bits with odd values and a new checksum."""
    magic, version, length, _ = file_format.START.unpack(content[: file_format.START.size])
    text = mutations.of_document(json.loads(content[file_format.PAGE : file_format.PAGE + length]), rng).encode()
    pages = -(-len(text) // file_format.PAGE) * file_format.PAGE
    start = file_format.START.pack(magic, version, len(text), hashlib.sha256(text).digest())
    return start + content[len(start) : file_format.PAGE] + text.ljust(pages, b"\0") + content[2 * file_format.PAGE :]


def make_open_bits(folder: Path) -> Path:
    path = folder / "bits.ndg"
    with BitFile.create(path, NODES, np.arange(8.0), "half", "net") as file:
        for _ in range(3):
            file.append(_bits().to_bool()[:70])
            file.commit(7)
    return path


def read_open_bits(path: Path) -> Any:
    with BitFile.resume(path, NODES, "net") as file:
        thresholds, examples = file.thresholds.tobytes(), file.examples
    return thresholds, BitMatrix.open(path).to_bool()[:examples].tolist()


def is_earlier(value: Any, sound: Any) -> bool:
    """Whether a file goes on at an earlier commit, which gives the same bits in the end."""
    return value[0] == sound[0] and value[1] == sound[1][: len(value[1])]


# graphs


def make_graph(folder: Path) -> Path:
    implications = find(_bits(), alpha=1.5)
    order = ("a", "b", "label")
    forced = int((_kinds(implications, order) == 1).sum())
    numbers = np.arange(forced, dtype=np.int64)
    verdicts = Verdicts.of(
        order,
        numbers + 40,
        numbers,
        {"closure": numbers},
        {"closure": 0 * numbers},
        {"least": 20, "at_least": 0.9, "q": 0.05},
    )
    scored = {"gndi": {"measure": "logits", "values": {"a:0": 0.5, "b:1": -1.25, "b:2": 1e-9}}}
    return NDG(implications, {"run": "r1", "filters": [{"min_precision": 0.1}]}, scored, verdicts).save(
        folder / "g.json"
    )


def _kinds(implications: Any, order: tuple[str, ...]) -> Any:
    from ndg.graph.verdicts import kinds

    return kinds(implications, order)


def read_graph(path: Path) -> Any:
    graph = NDG.load(path)
    assert graph.verdicts is not None
    return graph.digest, graph.provenance, graph.scored, graph.verdicts.head(), _lists(graph.verdicts.arrays)


def _lists(arrays: dict[str, Any]) -> Any:
    return {name: array.tolist() for name, array in arrays.items()}


# checkpoints


def make_model(folder: Path) -> Path:
    path = folder / "model.safetensors"
    checkpoint.save(path, models.build(NETWORK, FORM, 3, 0), NETWORK, FORM, 3, {"epoch": 2})
    return path


def read_model(path: Path) -> Any:
    network, about = checkpoint.load(path)
    return about, _bytes(network.state_dict())


def _bytes(tensors: Any) -> Any:
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def forge(content: bytes, rng: Random) -> bytes:
    """The description of a checkpoint with odd values and a new checksum."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    about = json.loads(header["__metadata__"]["ndg"])
    tensors = {name: torch.zeros(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    text = mutations.of_document(about, rng)
    return checkpoint.encoded(tensors, text)


def _learner() -> Learner:
    experiment = Experiment(model=NETWORK)
    return Learner.of(models.build(NETWORK, FORM, 3, 0), experiment.train, torch.device("cpu"))


IDENTITY = {"training_digest": "0" * 16, "seed": 0, "data": "1" * 16}


def make_state(folder: Path) -> Path:
    learner = _learner()
    learner.step(torch.rand(4, 1, 2, 2), torch.arange(4) % 3, 0.1)
    checkpoints.save(folder / "resume.safetensors", learner, IDENTITY, [EPOCH])
    return folder / "resume.safetensors"


def read_state(path: Path) -> Any:
    learner = _learner()
    history = checkpoints.restore(path, learner, IDENTITY)
    state = learner.optimizer.state_dict()["state"]
    slots = {f"{index} {name}": value for index, slot in state.items() for name, value in slot.items()}
    return history, checkpoints.best(history), _bytes(learner.network.state_dict()), _bytes(slots)


def make_counterfactual(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    booleans = [rng.random((6, 4)) < 0.5 for _ in range(2)]
    true = np.arange(6) % 3
    columns = np.arange(6), true, (true + 1) % 3, rng.random((6, 4)).astype(np.float32)
    return CounterfactualSet(*columns, *booleans, Origin("a", "Q", "g", "n", 3, 0)).save(folder / "c.safetensors")


def read_counterfactual(path: Path) -> Any:
    read = CounterfactualSet.load(path)
    return read.origin, [getattr(read, name).tobytes() for name in ("examples", "true", "latents", "booleans", "named")]


# journals and records


def _journal(path: Path) -> Journal:
    return Journal(path, "0123456789abcdef", lambda read: read["count"])


class Count(int):
    """An integer with `to_dict`."""

    def to_dict(self) -> dict[str, int]:
        return {"count": int(self)}


def make_journal(folder: Path) -> Path:
    journal = _journal(folder / "tasks.jsonl")
    lines = [journal.line(task, {"count": 3 * task}) for task in range(5)]
    journal.path.write_bytes(b"".join([journal.head(), *lines]))
    return journal.path


def read_journal(path: Path) -> Any:
    with opened(_journal(path)) as book:
        list(book.left(range(5)))
        book.check()
        return {task: book.take(task) for task in range(5) if task in book}


def is_part(value: Any, sound: Any) -> bool:
    """Whether the results that are left are the same; the others are computed again."""
    return value.items() <= sound.items()


def forge_line(content: bytes, rng: Random) -> bytes:
    """A journal with odd values and new checksums."""
    head, *lines = content.splitlines(keepends=True)
    entry = json.loads(lines[rng.randrange(len(lines))])
    del entry["sum"]
    body = mutations.of_document(entry, rng).encode()
    return head + body[:-1] + journals._SUM + journals._checksum(body[:-1]) + b'"}\n'


def make_log(folder: Path) -> Path:
    log = TrainingLog(folder, 3)
    row = EPOCH | {"accuracy": 0.5, "learning_rate": 0.1, "examples_per_second": 9.5}
    log.open(["started"], [])
    log.epoch([row])
    return folder / "log.txt"


def read_log(path: Path) -> Any:
    row = EPOCH | {"accuracy": 0.5, "learning_rate": 0.1, "examples_per_second": 9.5}
    TrainingLog(path.parent, 3).open(["resumed"], [row])
    return path.read_text().count("\nresumed\n")


RUN = "20261121-001200-digits-train-3f2a"
MOMENTS = {"started": "2026-11-21T00:12:00.000Z", "ended": "2026-11-21T00:12:09.000Z"}


def make_record(folder: Path) -> Path:
    """One run, the same in every process."""
    with runs.start(None, "train", Experiment(name="digits"), folder / "first") as run:
        run.metric(EPOCH)
        run.result("train", {"validation_accuracy": 0.75})
    fixed = {"_id": RUN, **MOMENTS, "heartbeat": MOMENTS["ended"], "folder": f"/runs/{RUN}", "pid": 7, "host": "here"}
    fixed |= {"commit": None, "dirty": None, "command": "ndg train", "versions": {"python": "3.11"}, "tags": ["x"]}
    document = run.record | fixed | {"attempts": [MOMENTS]}
    (folder / RUN).mkdir()
    records.write(document, folder / RUN)
    shutil.rmtree(folder / "first")
    with runs.open(folder / "ndg.db") as log:
        log.adopt(folder)
    return folder / RUN / records.RECORD


def read_record(path: Path) -> Any:
    every = records.read_all(path.parent.parent)
    return [(_moved(record), show.text(record) and show.table([record])[:0]) for record in every]


def _moved(record: records.RunRecord) -> dict[str, Any]:
    """The record, as in every folder."""
    return dict(records.placed(record, Path("/runs", RUN)))


def make_run_log(folder: Path) -> Path:
    make_record(folder)
    return folder / "ndg.db"


def read_run_log(path: Path) -> Any:
    with runs.open(path) as log:
        every = log.find()
        shown = [show.text(record) and show.table(log.find(metrics=False))[:0] for record in every]
        listed = [[_moved(record) for record in log.find(where, metrics=False)] for where in ({}, {"kind": "train"})]
        return [(_moved(record), text) for record, text in zip(every, shown, strict=True)], listed


def is_left_out(value: Any, sound: Any) -> bool:
    """Whether the record is the same or, with a warning, left out."""
    return value in ([], sound)


def is_nowhere_changed(value: Any, sound: Any) -> bool:
    """The same of a whole log, and of its lists without metrics."""
    lists = zip(value[1], sound[1], strict=True)
    return is_left_out(value[0], sound[0]) and all(is_left_out(*pair) for pair in lists)


# data sets


def _load(name: str) -> Any:
    def read(path: Path) -> Any:
        folder = path.parent if name != "images" else path.parent.parent
        splits = data.load(Data(name=name, dir=str(folder), vocabulary=300, length=16))
        return splits.sizes(), splits.digest

    return read


def make_arrays(folder: Path) -> Path:
    np.save(folder / "labels.npy", np.arange(60) % 3)
    np.save(folder / "inputs.npy", np.random.default_rng(0).random((60, 3)))
    return folder / "inputs.npy"


def make_labels(folder: Path) -> Path:
    make_arrays(folder)
    return folder / "labels.npy"


def make_idx(folder: Path) -> Path:
    fixtures.write_idx(folder, [*range(10)] * 6, [*range(10)] * 2)
    return folder / "train-labels-idx1-ubyte.gz"


def make_cifar(folder: Path) -> Path:
    fixtures.write_cifar10(folder, [[*range(10)] * 12], [*range(10)] * 2)
    return folder / "batches.meta"


def make_images(folder: Path) -> Path:
    for name in "ab":
        for number in range(20):
            fixtures.write_image(folder / name / f"{number}.png", fixtures.noise(4, 4, seed=number))
    return folder / "a" / "7.png"


def make_csv(folder: Path) -> Path:
    lines = [f'"text, {number} good",{"ab"[number % 2]}\n' for number in range(60)]
    (folder / "texts.csv").write_text("text,label\n" + "".join(lines))
    return folder / "texts.csv"


def make_jsonl(folder: Path) -> Path:
    rows = [json.dumps({"func": f"f{number}", "target": number % 2, "idx": number}) for number in range(60)]
    (folder / "train.jsonl").write_text("\n".join(rows))
    return folder / "train.jsonl"


def make_preprocessor(folder: Path) -> Path:
    (folder / "config.json").write_text("{}")
    settings = {
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "rescale_factor": 0.004,
        "size": {"height": 8},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | {"do_center_crop": True, "crop_size": 8}))
    return folder / "preprocessor_config.json"


def read_preprocessor(path: Path) -> Any:
    return pretrained.pixels(str(path.parent), 3)


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


KINDS: dict[str, Kind] = {
    "bits": Kind(make_bits, mutations.of_bytes, read_bits),
    "unfinished bits": Kind(make_open_bits, mutations.of_bytes, read_open_bits, is_earlier),
    "forged bits": Kind(make_bits, forge_header, read_bits, anything),
    "graph": Kind(make_graph, mutations.of_bytes, read_graph),
    "graph document": Kind(make_graph, _document, read_graph),
    "checkpoint": Kind(make_model, mutations.of_bytes, read_model),
    "forged checkpoint": Kind(make_model, forge, read_model, anything),
    "resume state": Kind(make_state, mutations.of_bytes, read_state),
    "counterfactual set": Kind(make_counterfactual, mutations.of_bytes, read_counterfactual),
    "journal": Kind(make_journal, mutations.of_bytes, read_journal, is_part),
    "forged journal": Kind(make_journal, forge_line, read_journal, anything),
    "training log": Kind(make_log, mutations.of_bytes, read_log),
    "record": Kind(make_record, mutations.of_bytes, read_record, is_left_out),
    "record document": Kind(make_record, _document, read_record, is_left_out),
    "run log": Kind(make_run_log, mutations.of_bytes, read_run_log, is_nowhere_changed),
    "arrays": Kind(make_arrays, mutations.of_bytes, _load("arrays"), anything),
    "labels": Kind(make_labels, mutations.of_bytes, _load("arrays"), anything),
    "idx": Kind(make_idx, mutations.of_bytes, _load("mnist")),
    "cifar": Kind(make_cifar, mutations.of_bytes, _load("cifar10"), anything),
    "images": Kind(make_images, mutations.of_bytes, _load("images"), anything),
    "csv": Kind(make_csv, mutations.of_bytes, _load("texts"), anything),
    "jsonl": Kind(make_jsonl, mutations.of_bytes, _load("devign"), anything),
    "preprocessor": Kind(make_preprocessor, _document, read_preprocessor, anything),
    "config": Kind(make_config, mutations.of_bytes, read_config),
    "config document": Kind(make_config, _yaml, read_config),
    "text": Kind(make_text, odd_text, read_text),
    "overrides": Kind(make_overrides, odd_overrides, read_overrides),
    "filter": Kind(make_filter, odd_filter, read_filter),
    "arguments": Kind(make_arguments, odd_arguments, read_arguments),
}
"""Every kind of input, by name."""
