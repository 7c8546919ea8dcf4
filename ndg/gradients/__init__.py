"""Gradients at layers: tape, paths, embeddings."""
