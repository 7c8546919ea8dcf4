"""Graphs beside each other: of layers, networks, trainings, resampled examples, and of what knows nothing."""
