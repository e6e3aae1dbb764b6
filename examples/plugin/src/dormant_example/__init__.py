"""An example of a package that adds to Dormant: copy it, and change what you need."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
"""Where lm-evaluation-harness finds the task's YAML file (``--include_path``)."""
