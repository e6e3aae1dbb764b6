"""Weights that Dormant reads: the demo's two adapters, and the refusal classifier's support set."""
