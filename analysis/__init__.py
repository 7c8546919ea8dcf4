"""One script per table of the papers; each prints from the run log and starts nothing."""
