"""The commands, from parsed options to exit codes."""

from ndg.commands.align import align
from ndg.commands.compress import compress
from ndg.commands.edit import export, fetch, import_, note, open, path, rm, tag, ui, untag
from ndg.commands.efficiency import efficiency
from ndg.commands.prune import prune
from ndg.commands.resources import completion, configs, data, doctor
from ndg.commands.runs import (
    best,
    compare,
    diff,
    explain,
    explore,
    render,
    report,
    runs,
    show,
    sync,
)  # fmt: skip
from ndg.commands.score import score
from ndg.commands.train import train

__all__ = [
    "align", "best", "compare", "completion", "compress", "configs", "data", "diff", "doctor", "efficiency", "explain",
    "explore", "export", "fetch", "import_", "note", "open", "path", "prune", "render", "report", "rm", "runs", "score",
    "show", "sync", "tag", "train", "ui", "untag",
]  # fmt: skip
