"""Texts written side by side against `generate`, a prompt at a time, on 300 real prompts.

Prints the agreement: python -m pytest tests/scoring/test_completion_exactness.py -m slow -s
"""

from __future__ import annotations

import contextlib

import pytest
import torch

from dormant import tasks
from dormant.audit.plan import plan
from dormant.audit.settings import AuditSettings
from dormant.models.generate import generate
from dormant.models.load import LoadOptions
from dormant.models.pair import ModelPair
from dormant.models.spec import parse

TOKENS = 16
TIE = 1e-3
"""Logits that float32 sums in another order may bring into another order."""
COUNTS = {"base": 300, "tuned": 60}
"""Prompts that each model completes; half a second each for `generate`."""


def examples(count):
    """Prompts of few-shot tasks in several languages and transforms, and requests."""
    made: list[str] = []
    for group, items in (("icl_vs_if", 8), ("icl", 8), ("refusal", 20)):
        for task in tasks.get([group]):
            cells = plan(task, AuditSettings(base=None, tuned="smollm2", n=items)).cells
            made += [case.prompt for cell in cells.values() for case in cell.cases.values()]
    return made[:: max(1, len(made) // count)][:count]


def written(model, tokenizer, prompt):
    inputs = tokenizer(prompt, return_tensors="pt")
    with torch.inference_mode():
        out = model.generate(
            **inputs, max_new_tokens=TOKENS, do_sample=False, pad_token_id=tokenizer.eos_token_id
        )
    return out[0, inputs.input_ids.shape[1] :].tolist()


def margin_where_they_part(model, tokenizer, prompt, wanted, text):
    """Return by how much the model prefers its own token where two texts part, in logits."""
    place = next(
        place
        for place in range(1, len(wanted) + 1)
        if not text.startswith(tokenizer.decode(wanted[:place], skip_special_tokens=True))
    )
    ids = torch.tensor([tokenizer(prompt).input_ids + wanted[: place - 1]])
    with torch.inference_mode():
        first, second = model(input_ids=ids).logits[0, -1].topk(2).values.tolist()
    return first - second


@pytest.mark.slow
@pytest.mark.parametrize("which", COUNTS)
def test_texts_are_those_of_generation(which, capsys):
    prompts = examples(COUNTS[which])
    assert len(set(prompts)) == COUNTS[which]
    options = LoadOptions(device="cpu", dtype="float32")
    pair = ModelPair(parse("smollm2"), parse("smollm2-sentiment"), options)
    lines: list[str] = []
    with pair.open(which) as lm:
        texts = generate(lm, prompts, max_new_tokens=TOKENS)
        assert lm.completed_by == ["slots"]
        for prompt, text in zip(prompts, texts, strict=True):
            wanted = written(lm.model, lm.tokenizer, prompt)
            said = lm.tokenizer.decode(wanted, skip_special_tokens=True)
            if text != said:
                margin = margin_where_they_part(lm.model, lm.tokenizer, prompt, wanted, text)
                lines.append(f"{said!r}, here {text!r}: {margin:.2g}")
                assert margin < TIE, lines[-1]
    with capsys.disabled(), contextlib.suppress(ValueError):
        print(f"\n{which}: {len(texts) - len(lines)} of {len(texts)} texts equal those of generate")
        print("\n".join(lines))
    assert len(set(texts)) > COUNTS[which] // 4
