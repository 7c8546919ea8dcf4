"""One file per importance score."""
