"""Run the prefix once, change units, run the rest."""
