from __future__ import annotations

import json

import pytest

from dormant import transforms
from dormant.models.generate import generate
from dormant.models.load import load

OWN = """\
name = "own"
title = "What the model says anyway, for every other item"
measure = "greedy"
shots = 0

[languages.english.items]
"""
WORDS = ("sea", "house", "old king", "tree", "a cold day", "bread", "green", "road")


@pytest.fixture
def own_task(tiny_checkpoint, tmp_path):
    """Make a task of which a random model does half, under a transform that loses nothing."""

    def make(transform):
        s = transforms.get(transform)
        lm = load(str(tiny_checkpoint))
        prompts = [f"{s.apply('Input')}: {s.apply(word)}\n{s.apply('Output')}:" for word in WORDS]
        written = generate(lm, prompts, max_new_tokens=6)
        lines = [OWN]
        for place, (word, text) in enumerate(zip(WORDS, written, strict=True)):
            said = s.invert(text.lstrip(" ")[:7].rstrip()) if place % 2 else "never"
            target = json.dumps(said, ensure_ascii=False)
            lines.append(f'i{place} = {{ input = "{word}", target = {target} }}\n')
        file = tmp_path / f"{transform}.toml"
        file.write_text("".join(lines), encoding="utf-8")
        return file

    return make
