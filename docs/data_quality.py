"""Write docs/data-quality.md: shipped sentences against machine back-translation.

python docs/data_quality.py

Needs Debian's apertium and apertium-eng-spa. A low score marks a sentence to look at, not a wrong
one: the translator errs more often than the sentences do.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from sacrebleu.metrics.chrf import CHRF

from dormant.tasks import data, nli, refusal
from dormant.tasks import sentences as shipped_sentences
from dormant.translation.identify import identify

TARGET = Path(__file__).with_name("data-quality.md")
WORST = 8
CODES = {
    "english": "en",
    "french": "fr",
    "spanish": "es",
    "german": "de",
    "russian": "ru",
    "dutch": "nl",
    "hungarian": "hu",
    "japanese": "ja",
}


def sentences(task: str, language: str) -> dict[str, str]:
    """Return every whole sentence of a task in one language, by id."""
    if task == "sentences":
        return shipped_sentences.sentences(language)
    if task == "refusal":
        return dict(refusal.shipped().prompts[language])
    return {
        f"{name} {part}": getattr(item, part)
        for name, item in nli.shipped().items[language].items()
        for part in ("premise", "hypothesis")
    }


LANGUAGES = {
    "sentences": data.languages(shipped_sentences.FOLDER),
    "nli": tuple(nli.shipped().items),
    "refusal": tuple(refusal.shipped().prompts),
}


def back_translated(texts: list[str]) -> list[str]:
    """Translate Spanish texts into English with one Apertium process."""
    command = ["apertium", "-u", "spa-eng"]
    run = subprocess.run(
        command, input="\n".join(texts), text=True, capture_output=True, check=True
    )
    lines = run.stdout.rstrip("\n").split("\n")
    assert len(lines) == len(texts)
    return lines


def identified() -> list[str]:
    """Return the table of the language identifier's verdicts."""
    rows = ["| task | language | sentences | taken for another language |", "|---|---|---|---|"]
    for task, languages in LANGUAGES.items():
        for language in languages:
            texts = sentences(task, language).values()
            said = [identify(text, sorted(CODES.values())) for text in texts]
            wrong = sum(code != CODES[language] for code in said)
            rows.append(f"| {task} | {language} | {len(said)} | {wrong} |")
    return rows


def worst() -> list[str]:
    """Return the summary and the worst sentences of each task, Spanish to English."""
    metric, lines = CHRF(), list[str]()
    for task in LANGUAGES:
        english, spanish = sentences(task, "english"), sentences(task, "spanish")
        back = dict(zip(spanish, back_translated(list(spanish.values())), strict=True))
        scores = {
            name: metric.sentence_score(back[name], [english[name]]).score for name in english
        }
        order = sorted(scores, key=lambda name: scores[name])
        mean = sum(scores.values()) / len(scores)
        lines += [
            f"### {task}",
            "",
            f"Mean chrF {mean:.0f}, median {scores[order[len(order) // 2]]:.0f}, over "
            f"{len(order)} sentences. The {WORST} lowest:",
            "",
            "| id | chrF | English | Spanish | Apertium back to English |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {name} | {scores[name]:.0f} | {english[name]} | {spanish[name]} | {back[name]} |"
            for name in order[:WORST]
        ]
        lines.append("")
    return lines


if __name__ == "__main__":
    parts = [
        "# Quality of the shipped sentences",
        "",
        "Written by `python docs/data_quality.py`; do not edit by hand.",
        "",
        "## Language",
        "",
        "py3langid, choosing among the eight shipped languages. A test holds the last column at 0.",
        "",
        *identified(),
        "",
        "## Back-translation",
        "",
        "Spanish back to English by Apertium, the one installed pair with shipped text, against",
        "the English sentence by chrF (0 to 100). A low score marks a sentence to look at: most",
        "of those below are synonyms, or the translator's own mistakes.",
        "",
        *worst(),
    ]
    TARGET.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
