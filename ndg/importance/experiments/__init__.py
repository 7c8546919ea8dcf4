"""Ablation curves, pruning curves and filter experiments."""
