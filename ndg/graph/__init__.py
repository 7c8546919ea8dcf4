"""The graph of implications between literals: closure, classes, reduction, figures, files."""
