"""Watching long work: a table in the terminal, lines for other programs, a page that fills in."""
