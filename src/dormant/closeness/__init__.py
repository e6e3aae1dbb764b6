"""Closeness: how much likelier fine-tuning made a prompt, against what was lost on it (§2.3)."""
