"""Language models: cases, scoring, and the audit (paper §3)."""
