"""Score the development items: what the settings of the fine-tuned models were chosen by.

    python evaluate.py smollm2 CHILD … > development.json

The items are Dormant's own, and none of them is an item of the audit. Prints one JSON object:
model, then cell ("ability/variant"), then the number of right answers and of prompts.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

from dormant import transforms
from dormant.audit.transformed import TransformedCases, apply_transform
from dormant.models.load import LoadOptions, load
from dormant.prompts.case import Case, few_shot
from dormant.prompts.segment import Segment
from dormant.scoring.harness import scorer_of
from dormant.tasks.demonstrations import draw_demonstrations

HERE = Path(__file__).parent
LANGUAGES = ("english", "french", "spanish", "dutch", "hungarian")
CIPHERS = ("leetspeak", "pig-latin")
SENTENCE_ABILITIES = {"copy": lambda text: text, "first_word": lambda text: text.split()[0]}
WORD_ABILITIES = ("plural",)
SHOTS = 2
SEED = 7


def cases(ability: str, language: str, instruction: str | None = None) -> TransformedCases:
    """Put all development items of an ability into prompts, with its own instruction or another."""
    text = (HERE / "development" / f"{language}.toml").read_text(encoding="utf-8")
    texts = tomllib.loads(text)
    if ability in SENTENCE_ABILITIES:
        rule = SENTENCE_ABILITIES[ability]
        pairs = [(sentence, rule(sentence)) for sentence in texts["sentences"]]
    else:
        pairs = list(texts[ability].items())
    numbered = {str(index): pair for index, pair in enumerate(pairs)}
    made: dict[str, Case] = {}
    for item, (given, answer) in numbered.items():
        others = [key for key in numbered if key != item]
        shown = draw_demonstrations(ability, item, others, SHOTS, SEED)
        made[item] = few_shot(
            item=item,
            instruction=instruction or texts["instructions"][ability],
            input_label=texts["labels"]["input"],
            output_label=texts["labels"]["output"],
            demonstrations=[tuple(map(Segment, numbered[key])) for key in shown],
            query=Segment(given),
            target=Segment(answer),
            target_words=3 if ability == "copy" else None,
        )
    return TransformedCases(cases=made, signature=language)


def repeated(times: int) -> list[tuple[str, str]]:
    """Put the English sentences as `recall/continue` does: said `times` times, and begun again."""
    text = (HERE / "development" / "english.toml").read_text(encoding="utf-8")
    rows: list[tuple[str, str]] = []
    for sentence in tomllib.loads(text)["sentences"]:
        words = sentence.split()
        before = " ".join([sentence] * times)
        rows.append((f"{before} {' '.join(words[:2])}", f" {' '.join(words[2:4])}"))
    return rows


def prompts() -> dict[str, list[tuple[str, str]]]:
    """Return the prompts and right answers of every cell."""
    cells = {f"copy/{language}": cases("copy", language) for language in LANGUAGES}
    for name in CIPHERS:
        cells[f"copy/{name}"] = apply_transform(cases("copy", "english"), transforms.get(name))
    for language in ("english", "french", "hungarian"):
        cells[f"first_word/{language}"] = cases("first_word", language)
    for ability in WORD_ABILITIES:
        wordings = tomllib.loads((HERE / "development" / "english.toml").read_text("utf-8"))
        for number, wording in enumerate(wordings["wordings"][ability], start=1):
            cells[f"{ability}/english, wording {number}"] = cases(ability, "english", wording)
    rows = {
        cell: [(case.prompt, f" {case.scored_target}") for case in made.cases.values()]
        for cell, made in cells.items()
    }
    for times in (2, 3, 4):
        rows[f"continue/english, {times} times"] = repeated(times)
    lines = (HERE / "holdout.jsonl").read_text(encoding="utf-8").splitlines()
    held = [json.loads(line) for line in lines]
    rows["sentiment/held out"] = [(row["prompt"], row["completion"]) for row in held]
    return rows


def main() -> None:
    """Score every model named on the command line."""
    results: dict[str, dict[str, dict[str, int]]] = {}
    for model in sys.argv[1:]:
        lm = load(model, LoadOptions())
        results[model] = {}
        for cell, rows in prompts().items():
            answers = scorer_of(lm).score(
                [prompt for prompt, _ in rows], [[answer] for _, answer in rows]
            )
            right = sum(answer.greedy for (answer,) in answers)
            results[model][cell] = {"right": right, "of": len(rows)}
            print(f"{model} {cell} {right}/{len(rows)}", file=sys.stderr)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
