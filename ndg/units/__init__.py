"""Layout of units in a layer's output."""
