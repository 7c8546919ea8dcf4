"""Examples that make a neuron fire, and those that break an implication."""
