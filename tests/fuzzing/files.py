"""Files that ndg writes, as kinds to damage: bits, graphs, checkpoints, journals, records."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from ndg import config, models, runs, signed_lines
from ndg.bits import file_format
from ndg.bits.file import BitFile
from ndg.bits.matrix import BitMatrix, Sample
from ndg.config import Experiment
from ndg.counterfactual.counterfactual_set import CounterfactualSet, Origin
from ndg.data.inputs import Form
from ndg.executors.journal import Journal, opened
from ndg.graph.conjunctions import Conjunction
from ndg.graph.ndg import NDG
from ndg.graph.verdicts import Verdicts
from ndg.graph.votes import Votes
from ndg.literal import Literal
from ndg.mining.miner import find
from ndg.models import checkpoint
from ndg.nodes import LayerUnits, NodeSpace
from ndg.runs import record as records
from ndg.runs import show
from ndg.training import checkpoints
from ndg.training.journal import Journal as TrainingLog
from ndg.training.step import Learner
from tests.fuzzing import mutations
from tests.fuzzing.harness import Kind, anything

NODES = NodeSpace(2, (LayerUnits("a", 5, "max"), LayerUnits("b", 3)))
FORM = Form.of((1, 2, 2))
NETWORK = config.MLP(widths=[3], latent=2)
EPOCH = {"epoch": 1, "loss": 0.5, "validation_loss": 0.25, "validation_accuracy": 0.75, "seconds": 1.5}


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
        {"rule": "antecedent and consequent false", "least": 20, "at_least": 0.9, "q": 0.05},
    )
    scored = {"gndi": {"measure": "logits", "values": {"a:0": 0.5, "b:1": -1.25, "b:2": 1e-9}}}
    return NDG(implications, {"run": "r1", "filters": [{"min_precision": 0.1}]}, scored, verdicts).save(
        folder / "g.json"
    )


def make_causal_graph(folder: Path) -> Path:
    graph = NDG.load(make_graph(folder))
    members = Literal(2), Literal(4, value=False)
    conjunction = Conjunction(members, Literal(6), (9, 9), (30, 28), (0.25, -0.5))
    weights = np.zeros((graph.nodes.labels, graph.nodes.slice("a").stop - graph.nodes.slice("a").start))
    weights[:, 0] = 0.75
    votes = Votes("a", weights, np.arange(float(graph.nodes.labels)), 40, 0.125)
    return graph.with_conjunctions([conjunction]).with_votes(votes).save(folder / "g.json")


def read_causal_graph(path: Path) -> Any:
    graph = NDG.load(path)
    return read_graph(path), graph.conjunctions, [votes.plain() for votes in graph.votes]


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
    return head + body[:-1] + signed_lines.MARK + signed_lines.checksum(body[:-1]) + b'"}\n'


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


FILES: dict[str, Kind] = {
    "bits": Kind(make_bits, mutations.of_bytes, read_bits),
    "unfinished bits": Kind(make_open_bits, mutations.of_bytes, read_open_bits, is_earlier),
    "forged bits": Kind(make_bits, forge_header, read_bits, anything),
    "graph": Kind(make_graph, mutations.of_bytes, read_graph),
    "graph document": Kind(make_graph, mutations.of_json, read_graph),
    "causal graph": Kind(make_causal_graph, mutations.of_json, read_causal_graph),
    "checkpoint": Kind(make_model, mutations.of_bytes, read_model),
    "forged checkpoint": Kind(make_model, forge, read_model, anything),
    "resume state": Kind(make_state, mutations.of_bytes, read_state),
    "counterfactual set": Kind(make_counterfactual, mutations.of_bytes, read_counterfactual),
    "journal": Kind(make_journal, mutations.of_bytes, read_journal, is_part),
    "forged journal": Kind(make_journal, forge_line, read_journal, anything),
    "training log": Kind(make_log, mutations.of_bytes, read_log),
    "record": Kind(make_record, mutations.of_bytes, read_record, is_left_out),
    "record document": Kind(make_record, mutations.of_json, read_record, is_left_out),
    "run log": Kind(make_run_log, mutations.of_bytes, read_run_log, is_nowhere_changed),
}
