"""A graph on trial: force neurons to what it says a label needs, and see whether the network obeys."""
