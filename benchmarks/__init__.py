"""Measurements side by side with peers, in one run: ratios and medians; `--json FILE` writes them for machines."""
