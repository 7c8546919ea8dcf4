"""Layers in another basis: coordinates along principal components, or along directions learned by alignment search."""
