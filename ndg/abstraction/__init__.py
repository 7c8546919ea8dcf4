"""Trials of graphs: set neurons and compare the network's prediction."""
