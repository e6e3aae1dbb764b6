"""The audit of a base model and its fine-tuned model (paper §3)."""
