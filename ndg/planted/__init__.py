"""Booleans with known implications, to test what a criterion finds."""
