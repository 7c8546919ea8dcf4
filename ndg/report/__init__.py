"""Faces of results: tables, pictures and the offline report. Nothing here imports torch."""
