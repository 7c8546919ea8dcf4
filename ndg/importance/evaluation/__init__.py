"""Which score of importance to believe: each beside exact ablation."""
