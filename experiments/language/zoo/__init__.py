"""A zoo of fine-tuned models whose truth is built in, and what audits say of them.

Run from the repository's root: ``python -m experiments.language.zoo.build ZOO``, then
``python -m experiments.language.zoo.calibrate ZOO``.
"""
