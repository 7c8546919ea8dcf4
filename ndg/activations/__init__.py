"""Running a network over examples: fixed compute batches, hooks that are always removed, and binarizers."""
