"""Packed booleans: which node is on for which example."""
