"""Exact ablation at a share of its cost."""
