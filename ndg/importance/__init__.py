"""How much each unit matters for the logits."""
