"""The shell commands in a Markdown text or a notebook."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = ("", "console", "bash", "sh")
"""What marks a block of commands; output and code are marked `text`, `python`, …"""


def text_of(page: Path) -> str:
    """Return a page's Markdown; of a notebook, that of its text cells."""
    content = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return content
    cells = [cell for cell in json.loads(content)["cells"] if cell["cell_type"] == "markdown"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def commands(markdown: str) -> list[list[str]]:
    """Return the words of every command in the blocks of shell, in order.

    In a block with a `$ ` the commands are what follows one, and the rest is output.
    """
    found: list[list[str]] = []
    for language, body in _FENCE.findall(markdown):
        if language.strip() not in SHELL:
            continue
        lines = body.splitlines()
        transcript = any(line.startswith("$ ") for line in lines)
        while lines:
            line = lines.pop(0)
            if transcript and not line.startswith("$ "):
                continue
            line = line.removeprefix("$ ") if transcript else line
            while (words := _words(line)) is None and lines:
                if line.endswith("\\"):
                    line = line[:-1] + lines.pop(0)
                else:
                    line = f"{line}\n{lines.pop(0)}"
            if words:
                found.append(words)
    return found


def _words(line: str) -> list[str] | None:
    """Split a command as a shell does; `None` where it goes on in the next line."""
    if line.endswith("\\"):
        return None
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # an open quotation
        return None
