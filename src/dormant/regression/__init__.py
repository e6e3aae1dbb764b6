"""The laboratory: transformers that learn regression in context (paper §2)."""
