"""Booleans whose implications are known, to see which of them a criterion finds."""
