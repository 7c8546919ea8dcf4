"""Tables, pictures and the HTML report. Nothing here imports torch."""
