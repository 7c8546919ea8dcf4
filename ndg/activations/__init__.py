"""Running a network over examples: batches, hooks and binarizers."""
