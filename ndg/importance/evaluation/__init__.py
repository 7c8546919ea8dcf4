"""Evaluation of importance scores against exact ablation."""
