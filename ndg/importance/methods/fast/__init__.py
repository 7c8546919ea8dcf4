"""Parts of fast ablation."""
