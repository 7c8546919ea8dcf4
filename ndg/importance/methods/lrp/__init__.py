"""Layer-wise relevance propagation: rules, the pass under them, scores."""
