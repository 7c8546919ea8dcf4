"""Weights into and out of the units of a layer."""
