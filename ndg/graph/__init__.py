"""Graph of implications between literals: closure, classes, reduction, files."""
