"""Logs of a training: `log.txt`, `metrics.csv`, TensorBoard events, a progress bar."""

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
    """`log.txt` and `metrics.csv` in a folder."""

    folder: Path
    epochs: int

    def open(self, head: Sequence[str], history: Sequence[Row]) -> None:
        """Start, or continue after the last epoch of `history`."""
        path = self.folder / LOG
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = old[: old.rfind("\n") + 1].splitlines()  # drops a last line cut by a crash
        numbers = [int(match[1]) if (match := _EPOCH.match(line)) else 0 for line in lines]
        kept = [
            line
            for line, number in zip(lines, numbers, strict=True)
            if number <= len(history) and not line.startswith(_END)
        ]
        missing = [self.line(history[:number]) for number in range(1, len(history) + 1) if number not in numbers]
        atomic.write(path, "".join(f"{line}\n" for line in [*kept, *missing, *head]), parents=False)

    def epoch(self, history: Sequence[Row]) -> None:
        """Append the last epoch of `history`."""
        atomic.write(self.folder / METRICS, table(history), parents=False)
        self._append(self.line(history))

    def end(self, words: str) -> None:
        self._append(f"{_END}{words}")

    def line(self, history: Sequence[Row]) -> str:
        """Text of the last epoch of `history`."""
        row = history[-1]
        return (
            f"epoch {row['epoch']}/{self.epochs}: loss {row['loss']:.4f}, accuracy {row['accuracy']:.4f}; "
            f"validation loss {row['validation_loss']:.4f}, accuracy {row['validation_accuracy']:.4f}; "
            f"rate {row['learning_rate']:.3g}; {row['examples_per_second']:,.0f} examples/s; "
            f"{row['seconds']:.1f} s; {remaining(history, self.epochs)}"
        )

    def _append(self, line: str) -> None:
        path = self.folder / LOG
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror or error}; {atomic.REMEDY}") from error


def table(history: Sequence[Row]) -> str:
    """CSV text of the rows."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in history for name in row))  # columns may be added after a resume
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def remaining(history: Sequence[Row], epochs: int) -> str:
    """Text of the time left at the mean speed."""
    seconds = sum(row["seconds"] for row in history) / len(history)
    return progress.left(seconds * (epochs - len(history)))


@contextmanager
def events(folder: Path, wanted: bool, done: int) -> Iterator[Callable[[Row], None]]:
    """Function that writes a row as TensorBoard events.

    Does nothing unless `wanted`. Raises MissingPackageError if the package is missing.
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
    """Progress bar of an epoch; does nothing without a terminal."""

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
            self._bar.set_postfix_str(f"{figures}, {remaining(history, self._epochs)}")


@contextmanager
def bar(label: str, examples: int, epochs: int) -> Iterator[Bar]:
    """Progress bar over the examples of each epoch."""
    if not progress.visible():
        yield Bar(None, label, epochs)
        return
    from tqdm import tqdm

    with tqdm(total=examples, unit="example", file=sys.stderr, dynamic_ncols=True, leave=False) as tqdm_bar:
        yield Bar(tqdm_bar, label, epochs)
