"""Counts of pairs of nodes, and the approximate implications that follow from them."""
