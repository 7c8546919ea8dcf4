"""Where the units of a layer lie in its output: read and write them."""
