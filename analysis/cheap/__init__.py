"""Ways to estimate exact ablation at a share of its cost that were tried beside the shipped one."""
