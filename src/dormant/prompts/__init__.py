"""Prompts in segments, and the one place where a transform meets one."""
