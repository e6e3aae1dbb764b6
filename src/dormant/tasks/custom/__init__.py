"""A user's own task, in one TOML or JSONL file (docs/tasks.md).

Both hold the same: what the task is, a template a language, and items that are parallel by id.
In a JSONL file the first line is the task, every further line one item in one language; or every
line is an example, of which all else is assumed (`examples`).
"""

from __future__ import annotations

from pathlib import Path

from dormant.tasks.custom.examples import Examples
from dormant.tasks.custom.reading import read
from dormant.tasks.custom.task import Custom, GenerativeCustom

__all__ = ["TEMPLATE", "Custom", "Examples", "GenerativeCustom", "read"]

TEMPLATE = Path(__file__).with_name("template.toml")
"""A small working task to start from."""
