"""Measurements side by side with peers, in one run: ratios and medians, a table for people, `--json FILE` for machines."""
