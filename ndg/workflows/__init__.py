"""Whole runs, from an experiment to a run document and its files."""
