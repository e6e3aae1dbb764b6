"""Dormant inside other programs."""
