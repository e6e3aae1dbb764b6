"""What tests of relearning in audits share: names of cells, and abilities as files."""

from __future__ import annotations

import json

ITEMS, BATCH, POOL = 40, 20, 100
NOISE = ("noise-0.05", "noise-0.1", "4-bit")
RELEARN = ("other-answers", "other-task")
TEACH = ("taught-1", "taught-4", "taught-16")


def task_file(folder, name, **header):
    file = folder / f"{name}.jsonl"
    first = {
        "name": f"mine/{name}", "title": name, "languages": {"english": {}}, "shots": 1,
        "shuffled_answers_say_nothing": True, **header,
    }  # fmt: skip
    rows = [
        {"language": "english", "id": str(n), "input": f"{name} {n}", "target": f"t{n}"}
        for n in range(POOL)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in (first, *rows)))
    return str(file)
