"""Verdicts of the fast scorer against what the model writes, on hundreds of real prompts.

Prints the agreement: python -m pytest tests/scoring/test_exactness.py -m slow -s
"""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from dormant import tasks
from dormant.audit.plan import plan
from dormant.audit.settings import AuditSettings
from dormant.scoring.encoding import encode_prompts
from dormant.scoring.scorer import FastLM

ITEMS = {"icl_vs_if": 10, "icl": 6}
"""Items a cell; every language that a task ships, leetspeak and pig latin."""
TIE = 1e-3
"""Logits that float32 sums in another order may bring into another order: they are about 20 in
size, a few hundred operations deep."""


def examples():
    for group, count in ITEMS.items():
        for task in tasks.get([group]):
            made = plan(task, AuditSettings(base=None, tuned="smollm2", n=count)).cells
            for name, cell in made.items():
                for case in cell.cases.values():
                    answers = [f"{case.answer_prefix}{one}" for one in case.answers]
                    yield f"{task.name} · {name} · {case.item}", case.prompt, answers


def written(model, tokenizer, prompt, tokens):
    inputs = tokenizer(prompt, return_tensors="pt")
    with torch.inference_mode():
        out = model.generate(
            **inputs, max_new_tokens=tokens, do_sample=False, pad_token_id=tokenizer.eos_token_id
        )
    return tokenizer.decode(out[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)


@pytest.mark.slow
def test_verdicts_are_those_of_generation(smollm2, capsys):
    """A prompt at a time, in float32: the definition that everything else is to equal."""
    model, tokenizer = smollm2
    names, prompts, answers = zip(*examples(), strict=True)
    assert len(prompts) >= 500
    lm = FastLM(pretrained=model, tokenizer=tokenizer)
    chosen = lm.choose_precision(prompts, answers)
    found = lm.score(prompts, answers)
    counts: Counter[str] = Counter()
    unexplained: list[str] = []
    lines: list[str] = []
    for name, prompt, texts, row in zip(names, prompts, answers, found, strict=True):
        longest = max(len(tokenizer(text).input_ids) for text in texts)
        said = written(model, tokenizer, prompt, longest + 6).lstrip(" ")
        for text, one in zip(texts, row, strict=True):
            wanted = said.startswith(text.lstrip(" "))
            counts["verdicts"] += 1
            counts["greedy"] += wanted
            counts["other spelling"] += one.greedy and not one.exact
            if one.greedy != wanted:
                gap = logit_margin(lm, prompt, text)
                lines.append(f"{name}: {text!r} scored {one.greedy}, written {said!r}; {gap:.2g}")
                if gap > TIE:
                    unexplained.append(lines[-1])
    equal = counts["verdicts"] - len(lines)
    with capsys.disabled():
        print(
            f"\n{len(prompts)} prompts, {counts['verdicts']} verdicts ({chosen or 'float32'}), "
            f"{counts['greedy']} of them greedy, {counts['other spelling']} by other tokens: "
            f"{equal} equal what is written, {equal / counts['verdicts']:.2%}"
        )
        print("\n".join(lines))
    assert counts["greedy"] > 100
    assert equal / counts["verdicts"] >= 0.995
    assert not unexplained


def logit_margin(lm, prompt, text):
    """Return by how much the model prefers its choice where the verdict turns, in logits."""
    ((one,),) = lm._predict(encode_prompts(lm, [prompt], [[text]]), [prompt])
    return min(one.margins)
