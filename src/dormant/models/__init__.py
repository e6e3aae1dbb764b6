"""Models: what a user may name, how it is loaded, what it is asked."""
