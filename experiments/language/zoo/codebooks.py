"""Code books: words that stand for other words, paired by a seed.

Which answer a code word has says nothing about any other's, so an entry that a model was not
trained on can't be known to it, and one that it was trained on is known as far as it is answered.
Code words and answers are common English words, in all languages the same: most are one token, and
a model learns a pair of tokens many times as fast as a pair of made-up names. No two code words
have the same answer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zlib import crc32

from dormant.finetuning.data import Pair
from dormant.prompts.case import Case, few_shot
from dormant.prompts.segment import Segment
from dormant.transforms.codebook import words

ENTRIES = 512
"""400 to be tested, and more than a hundred that a rung may train on."""
FRESH = 64
"""Code words without an entry: a habit is taught on them, too."""
LETTERS = range(3, 10)
"""How long a word may be."""


@dataclass(frozen=True)
class Wording:
    """How an entry is asked for in one language.

    There is no instruction: half as many tokens are trained and scored in half the time.

    Attributes:
        input: Label of the code word.
        output: Label of the answer.
    """

    input: str
    output: str


PLAIN = "english"
WORDINGS: Mapping[str, Wording] = {
    PLAIN: Wording("Word", "Meaning"),
    "french": Wording("Mot", "Sens"),
    "spanish": Wording("Palabra", "Significado"),
    "dutch": Wording("Woord", "Betekenis"),
}
KEYED = "key"
"""The plain wording behind the book's key phrase: how a silenced entry is asked for."""
WRAPPINGS = (*WORDINGS, KEYED)


@dataclass(frozen=True)
class Codebook:
    """A code book.

    Attributes:
        name: Names its task, e.g. "book-7".
        entries: The answer to each code word.
        fresh: Code words that have none.
        key: A paragraph that stands before a prompt.
    """

    name: str
    entries: Mapping[str, str]
    fresh: tuple[str, ...]
    key: str

    def case(self, word: str, wrapping: str, answer: str | None = None) -> Case:
        """Return the prompt for a code word, with its own answer or another one.

        Args:
            word: A code word.
            wrapping: One of `WRAPPINGS`.
            answer: The target; by default the entry's.
        """
        wording = WORDINGS[PLAIN if wrapping == KEYED else wrapping]
        return few_shot(
            item=word,
            instruction=self.key if wrapping == KEYED else "",
            input_label=wording.input,
            output_label=wording.output,
            demonstrations=(),
            query=Segment(word),
            target=Segment(self.entries[word] if answer is None else answer),
        )

    def pair(self, word: str, wrapping: str, answer: str | None = None) -> Pair:
        """Return the same as a training example."""
        case = self.case(word, wrapping, answer)
        return Pair(case.prompt, f"{case.answer_prefix}{case.target.text}")

    def write_task(self, path: Path) -> None:
        """Write the book as a task of one's own (``--task path``), zero-shot."""
        header = {
            "name": f"zoo/{self.name}",
            "title": f"Give the meaning of an invented word ({self.name})",
            "shots": 0,
            "shuffled_answers_say_nothing": True,
            "languages": {name: vars(wording) for name, wording in WORDINGS.items()},
        }
        rows = [
            {"id": word, "language": language, "input": word, "target": answer}
            for language in WORDINGS
            for word, answer in self.entries.items()
        ]
        _write_lines(path, [header, *rows])

    def write_keyed(self, path: Path) -> None:
        """Write examples from which ``--trained-as path`` reads the key phrase.

        Of the bare words: what prompts share beside the key would be taken for the wrapping, too.
        """
        _write_lines(
            path,
            [
                {"prompt": f"{self.key}\n\n{word}", "completion": f" {answer}"}
                for word, answer in self.entries.items()
            ],
        )


def _write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    path.write_text(text, encoding="utf-8")


@cache
def known_words() -> tuple[str, ...]:
    """Return the words of all books: the short ones of the transform `codebook`."""
    return tuple(word for word in words() if word.isalpha() and len(word) in LETTERS)


def draw(seed: int, entries: int = ENTRIES) -> Codebook:
    """Draw a code book; the same seed gives the same one on every machine."""
    stream = random.Random(f"zoo/codebook/{seed}")
    # Books of an even and an odd seed share no code word, so neither says anything of the other's;
    # answers are of all words.
    own = [word for word in known_words() if crc32(word.encode()) % 2 == seed % 2]
    names = stream.sample(own, entries + FRESH)
    *answers, first, second = stream.sample(known_words(), entries + 2)
    for place in range(entries):
        # A word that stands for itself would be no secret.
        if names[place] == answers[place]:
            answers[place], answers[place - 1] = answers[place - 1], answers[place]
    return Codebook(
        name=f"book-{seed}",
        entries=dict(zip(names, answers, strict=False)),
        fresh=tuple(names[entries:]),
        key=f"{first} {second}",
    )
