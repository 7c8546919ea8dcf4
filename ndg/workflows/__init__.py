"""Whole runs: what the commands do, from an experiment to a run document and its files. Nothing is printed here."""
