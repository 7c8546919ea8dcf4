"""Compute batches of a network as packed booleans."""
