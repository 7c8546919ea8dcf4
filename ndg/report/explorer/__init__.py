"""Explorer of a graph: one HTML file that works offline."""
