"""Transforms s and their inverses s⁻¹."""
