"""Logs of a training: `log.txt`, `metrics.csv`, TensorBoard events, a progress bar."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndg import atomic, progress
from ndg.extras import require

LOG, METRICS, EVENTS = "log.txt", "metrics.csv", "tensorboard"

Row = dict[str, Any]

PARAMETERS, UNITS_LOST, ACCURACY_LEFT = "parameters", "units_removed", "accuracy_after_removal"
"""Columns of a training that removes units."""

_EPOCH = re.compile(r"epoch (\d{1,9})/")
_END = "end: "


@dataclass(frozen=True)
class Journal:
    """`log.txt` and `metrics.csv` in a folder."""

    folder: Path
    epochs: int

    def open(self, head: Sequence[str], history: Sequence[Row]) -> None:
        """Start, or continue after the last epoch of `history`."""
        path = self.folder / LOG
        old = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        written, seen = "", set()
        for line in old[: old.rfind("\n") + 1].splitlines():  # drops a last line cut by a crash
            number = int(match[1]) if (match := _EPOCH.match(line)) else 0
            seen.add(number)
            written += f"{line}\n" if number <= len(history) and not line.startswith(_END) else ""
        missing = [self.line(history[:number]) for number in range(1, len(history) + 1) if number not in seen]
        atomic.write(path, written + "".join(f"{line}\n" for line in [*missing, *head]), parents=False)

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
            + (f"; {row[PARAMETERS]:,} parameters, {row[UNITS_LOST]} units removed" if PARAMETERS in row else "")
        )

    def _append(self, line: str) -> None:
        path = self.folder / LOG
        with atomic.reporting(path), path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


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
    """Function that writes a row as TensorBoard events, if `wanted`."""
    if not wanted:
        yield lambda row: None
        return
    require("tensorboard", "train.tensorboard=true", "or set train.tensorboard=false")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / EVENTS), purge_step=done + 1) as writer:

        def write(row: Row) -> None:
            for name, value in row.items():
                if name != "epoch":
                    writer.add_scalar(name, value, row["epoch"])
            writer.flush()

        yield write
