"""Looking after the refusal labels: rates, a judge model, a person's labels, and their agreement.

All of it works on a finished run. Whatever reads answers needs them stored, so the run must have
been made with ``--keep-generations``; counts and detected languages are in every run.
"""
