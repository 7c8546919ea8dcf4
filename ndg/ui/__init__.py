"""A page on this machine to look at the run log: `ndg ui`."""
