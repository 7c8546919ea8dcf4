"""What people read of a training: `log.txt`, `metrics.csv`, events for TensorBoard, and a bar."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndg import atomic, progress
from ndg.errors import MissingPackageError, OutputError

LOG, METRICS, EVENTS = "log.txt", "metrics.csv", "tensorboard"

Row = dict[str, Any]

_EPOCH = re.compile(r"epoch (\d+)/")
_END = "end: "


@dataclass(frozen=True)
class Journal:
    """`log.txt` and `metrics.csv` in a folder: a head, a line and a row for each of at most `epochs`, an end."""

    folder: Path
    epochs: int

    def open(self, head: Sequence[str], history: Sequence[Row]) -> None:
        """Begin, or go on after the last epoch of `history`: what was written past it goes, what is missing comes."""
        path = self.folder / LOG
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = old[: old.rfind("\n") + 1].splitlines()  # a crash may have cut the last line
        numbers = [int(found[1]) if (found := _EPOCH.match(line)) else 0 for line in lines]
        kept = [
            line
            for line, number in zip(lines, numbers, strict=True)
            if number <= len(history) and not line.startswith(_END)
        ]
        lost = [self.line(history[:number]) for number in range(1, len(history) + 1) if number not in numbers]
        atomic.write(path, "".join(f"{line}\n" for line in [*kept, *lost, *head]), parents=False)

    def epoch(self, history: Sequence[Row]) -> None:
        """Write down the last epoch of `history`."""
        atomic.write(self.folder / METRICS, table(history), parents=False)
        self._append(self.line(history))

    def end(self, words: str) -> None:
        self._append(f"{_END}{words}")

    def line(self, history: Sequence[Row]) -> str:
        """The last epoch of `history` in words."""
        row = history[-1]
        return (
            f"epoch {row['epoch']}/{self.epochs}: loss {row['loss']:.4f}, accuracy {row['accuracy']:.4f}; "
            f"validation loss {row['validation_loss']:.4f}, accuracy {row['validation_accuracy']:.4f}; "
            f"rate {row['learning_rate']:.3g}; {row['examples_per_second']:,.0f} examples/s; "
            f"{row['seconds']:.1f} s; {left(history, self.epochs)}"
        )

    def _append(self, line: str) -> None:
        path = self.folder / LOG
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror or error}; {atomic.REMEDY}") from error


def table(history: Sequence[Row]) -> str:
    """The rows as csv."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in history for name in row))  # a resumed one may be watched
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def left(history: Sequence[Row], epochs: int) -> str:
    """How long the epochs that remain take at most, if they are as long as those of `history`."""
    seconds = sum(row["seconds"] for row in history) / len(history) * (epochs - len(history))
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit} left"
    return f"{seconds:.0f} s left"


@contextmanager
def events(folder: Path, wanted: bool, done: int) -> Iterator[Callable[[Row], None]]:
    """A function that writes a row as events for TensorBoard, where wanted; those past `done` epochs are taken back.

    Raises MissingPackageError where the package is not installed.
    """
    if not wanted:
        yield lambda row: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingPackageError(
            "train.tensorboard=true needs the package tensorboard, which is not installed; "
            "`pip install 'ndg[tensorboard]'`, or set train.tensorboard=false"
        ) from error
    with SummaryWriter(str(folder / EVENTS), purge_step=done + 1) as writer:

        def write(row: Row) -> None:
            for name, value in row.items():
                if name != "epoch":
                    writer.add_scalar(name, value, row["epoch"])
            writer.flush()

        yield write


class Bar:
    """Steps of an epoch, examples per second and the time left, for a person who is watching; else nothing."""

    def __init__(self, bar: Any, label: str, epochs: int) -> None:
        self._bar, self._label, self._epochs = bar, label, epochs

    def begin(self, epoch: int) -> None:
        if self._bar is not None:
            self._bar.reset()
            self._bar.set_description_str(f"train {self._label}, epoch {epoch}/{self._epochs}")

    def step(self, examples: int) -> None:
        if self._bar is not None:
            self._bar.update(examples)

    def end(self, history: Sequence[Row]) -> None:
        if self._bar is not None:
            row = history[-1]
            figures = f"loss {row['loss']:.4f}, validation accuracy {row['validation_accuracy']:.4f}"
            self._bar.set_postfix_str(f"{figures}, {left(history, self._epochs)}")


@contextmanager
def bar(label: str, examples: int, epochs: int) -> Iterator[Bar]:
    """A bar over the `examples` of each epoch, on stderr when it is a terminal."""
    if not progress.visible():
        yield Bar(None, label, epochs)
        return
    from tqdm import tqdm

    with tqdm(total=examples, unit="example", file=sys.stderr, dynamic_ncols=True, leave=False) as shown:
        yield Bar(shown, label, epochs)
