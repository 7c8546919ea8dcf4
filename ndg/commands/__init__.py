"""What each command prints. Each takes the parsed options and where things lie, and returns the exit code."""

from ndg.commands.aligning import align
from ndg.commands.graphs import diff, explain, render
from ndg.commands.places import configs, data, doctor
from ndg.commands.records import runs, show
from ndg.commands.scoring import score
from ndg.commands.training import train

__all__ = ["align", "configs", "data", "diff", "doctor", "explain", "render", "runs", "score", "show", "train"]
