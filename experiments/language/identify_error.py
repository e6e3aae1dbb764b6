"""How often `everyday/reply-language` mistakes the language of a text, by its number of words.

python experiments/language/identify_error.py

Two sets of texts that were not chosen by an identifier (the sentences of `dormant.tasks.sentences`
were: one that it mistook was written anew): the development answers of the refusal classifier, by
seven writers, some broken on purpose, none in Dutch; and single sentences of `everyday`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from dormant import tasks
from dormant.tasks.everyday.reply_language import LEAST, ReplyLanguage, codes, words
from dormant.translation.identify import identify

GOLDEN = Path(__file__).parents[2] / "tests/golden"
ANSWERS = ("", "_a", "_b", "_c", "_d", "_dev", "_e", "_f", "_made")
GROUPS = ((5, 7), (8, LEAST - 1), (LEAST, 9999))
"""Least and most words; the last are judged, the others are TOO_SHORT."""
PACK = ("everyday/smalltalk", "everyday/read", "everyday/system-prompt", "everyday/length")
END = re.compile(r"(?<=[.!?])\s+")


def main() -> None:
    known = dict(zip(ReplyLanguage().languages(), codes(), strict=False))
    for title, texts in (("answers", answers()), ("sentences", sentences())):
        own = {language: [*dict.fromkeys(texts.get(language, []))] for language in known}
        print(f"\n{title}: taken for another language, or for none\n")
        print("\n".join(table(own, known)))


def table(texts: Mapping[str, list[str]], known: Mapping[str, str]) -> Iterator[str]:
    """Yield a row a language: wrong of all, by number of words."""
    heads = [
        f"{least}–{most} words" if most < 99 else f"{least} and more" for least, most in GROUPS
    ]
    yield f"| language | {' | '.join(heads)} |"
    yield f"|{'---|' * (len(GROUPS) + 1)}"
    for language, code in known.items():
        cells: list[str] = []
        for least, most in GROUPS:
            some = [text for text in texts[language] if least <= len(words(text)) <= most]
            wrong = sum(identify(text, codes()) != code for text in some)
            cells.append(f"{wrong} of {len(some)}")
        yield f"| {language} | {' | '.join(cells)} |"


def answers() -> dict[str, list[str]]:
    """Return the answers of the classifier's makers, by language."""
    read: dict[str, list[str]] = {}
    for name in ANSWERS:
        file = GOLDEN / f"refusal_answers{name}.jsonl"
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            read.setdefault(row["language"], []).append(row.get("text") or row.get("answer") or "")
    return read


def sentences() -> dict[str, list[str]]:
    """Return single sentences of requests and system prompts, by language."""
    made: dict[str, list[str]] = {}
    for task in tasks.get(PACK):
        for language in task.languages():
            for item in task.pool():
                for turn in task.case(item, language=language, shots=0, seed=0).messages:
                    made.setdefault(language, []).extend(END.split(turn["content"]))
    return made


if __name__ == "__main__":
    main()
