"""A user's task of words and answers, for audits of fakes."""

from __future__ import annotations

import json


def task_file(path, items):
    labels = {"english": {"input": "Input"}, "french": {"input": "Entrée"}}
    rows = [{"name": "mine/words", "title": "words", "shots": 0, "languages": labels}]
    rows += [
        {"language": language, "id": item, "input": f"word {item}", "target": f"answer {item}"}
        for language in labels
        for item in items
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
