"""Pair counts of nodes, and the approximate implications they give."""
